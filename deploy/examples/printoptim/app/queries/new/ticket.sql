SELECT
    pk_ticket AS id,
    machine.identifier AS serial,
    subject,
    status.identifier AS status,
    priority.identifier AS priority,
    to_char(common.clock(opened_at), 'YYYY-MM-DD"T"HH24:MI:SS') AS opened
FROM fleet.tb_ticket
JOIN fleet.tb_ticket_status status ON pk_ticket_status = fk_ticket_status
JOIN fleet.tb_ticket_priority priority ON pk_ticket_priority = fk_ticket_priority
LEFT JOIN fleet.tb_machine machine ON pk_machine = fk_machine
WHERE pk_ticket = %(id)s
