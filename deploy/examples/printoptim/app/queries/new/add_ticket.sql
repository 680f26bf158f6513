INSERT INTO fleet.tb_ticket (fk_machine, fk_customer, fk_ticket_status, fk_ticket_priority, subject)
SELECT pk_machine, fk_customer, pk_ticket_status, pk_ticket_priority, %(subject)s
FROM fleet.tb_machine machine
JOIN fleet.tb_ticket_status status ON status.identifier = 'open'
JOIN fleet.tb_ticket_priority priority ON priority.identifier = %(priority)s
WHERE machine.identifier = %(serial)s
RETURNING pk_ticket AS id
