INSERT INTO fleet.tb_technician (pk_technician, id, identifier, name, phone, is_active)
SELECT id, common.migrated_id('technician', id::text), 'TECH-' || id, name, phone, lower(active) IN ('y', 'yes')
FROM public.technician
ORDER BY id;

INSERT INTO fleet.tb_ticket_status (id, identifier)
SELECT common.migrated_id('ticket_status', code), code FROM migration.codes('ticket');

INSERT INTO fleet.tl_ticket_status (fk_ticket_status, fk_language, name)
SELECT pk_ticket_status, pk_language, text
FROM public.label
JOIN fleet.tb_ticket_status status ON key = 'ticket.' || status.identifier
JOIN common.tb_language language ON language.identifier = lang;

INSERT INTO fleet.tb_ticket_priority (id, identifier)
SELECT common.migrated_id('ticket_priority', code), code FROM migration.codes('priority');

SELECT migration.set_aside('fleet.tb_ticket', 'fleet.tb_ticket_comment', 'fleet.tb_visit', 'fleet.tb_visit_part');

INSERT INTO fleet.tb_ticket (
    pk_ticket, id, fk_machine, fk_customer, fk_technician, fk_ticket_status, fk_ticket_priority, subject, opened_at, closed_at,
    deleted_at)
SELECT ticket.id, common.migrated_id('ticket', ticket.id::text), printer_id, master_id, technician_id, pk_ticket_status,
    pk_ticket_priority, ticket.subject, common.moment(opened), common.moment(closed),
    CASE WHEN deleted = 1 THEN common.moment(coalesce(closed, opened)) END
FROM public.ticket
JOIN migration.tb_spelling spelling ON spelling.subject = 'ticket' AND spelling IS NOT DISTINCT FROM ticket.status
JOIN migration.tb_spelling urgency ON urgency.subject = 'priority' AND urgency.spelling IS NOT DISTINCT FROM ticket.priority
JOIN fleet.tb_ticket_status status ON status.identifier = spelling.code
JOIN fleet.tb_ticket_priority priority ON priority.identifier = urgency.code
LEFT JOIN public.customer_master master ON master.id = customer_id
ORDER BY ticket.id;

INSERT INTO migration.tb_orphan (source, legacy_id, missing, missing_id, legacy_row)
SELECT 'ticket_note', ticket_note.id, 'ticket', ticket_id, to_jsonb(ticket_note)
FROM public.ticket_note
WHERE NOT EXISTS (SELECT FROM public.ticket WHERE ticket.id = ticket_id);

INSERT INTO fleet.tb_ticket_comment (pk_ticket_comment, id, fk_ticket, author, body, written_at)
SELECT ticket_note.id, common.migrated_id('ticket_comment', ticket_note.id::text), ticket_id, author, note, common.moment(written)
FROM public.ticket_note
WHERE EXISTS (SELECT FROM public.ticket WHERE ticket.id = ticket_id)
ORDER BY ticket_note.id;

INSERT INTO fleet.tb_visit (pk_visit, id, fk_ticket, fk_technician, started_at, minutes, cost)
SELECT id, common.migrated_id('visit', id::text), ticket_id, technician_id, common.moment(started), minutes, common.cents(cost)
FROM public.visit
ORDER BY id;

INSERT INTO migration.tb_orphan (source, missing, missing_id, legacy_row)
SELECT 'part_used', 'visit', visit_id, to_jsonb(part_used)
FROM public.part_used
WHERE NOT EXISTS (SELECT FROM public.visit WHERE visit.id = visit_id);

-- The same part of the same visit may stand there twice: it was used so many times.
INSERT INTO fleet.tb_visit_part (id, fk_visit, fk_part, quantity)
SELECT common.migrated_id('visit_part', visit_id || '/' || part_id), visit_id, part_id, sum(quantity)
FROM public.part_used
WHERE EXISTS (SELECT FROM public.visit WHERE visit.id = visit_id)
GROUP BY visit_id, part_id
ORDER BY visit_id, part_id;

INSERT INTO migration.tb_skipped_moment (source, legacy_id, legacy_column, shown)
SELECT 'ticket', id, legacy_column, shown
FROM public.ticket
CROSS JOIN LATERAL (VALUES ('opened', opened), ('closed', closed)) AS moments (legacy_column, shown)
WHERE common.clock(common.moment(shown)) <> shown
UNION ALL
SELECT 'ticket_note', id, 'written', written FROM public.ticket_note WHERE common.clock(common.moment(written)) <> written
UNION ALL
SELECT 'visit', id, 'started', started FROM public.visit WHERE common.clock(common.moment(started)) <> started;

INSERT INTO migration.tb_rounding (source, legacy_id, legacy_column, amount)
SELECT 'visit', id, 'cost', cost FROM public.visit WHERE common.cents(cost)::double precision <> cost;

SELECT migration.put_back();

ANALYZE fleet.tb_ticket, fleet.tb_ticket_comment, fleet.tb_visit, fleet.tb_visit_part;
