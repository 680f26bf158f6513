-- Last thing in the transaction: without this row the step has not happened.
UPDATE cutoverd.step_log SET finished = true, evidence = :'cutoverd_evidence'::jsonb
WHERE run = :'cutoverd_run' AND step = :'cutoverd_step' AND direction = :'cutoverd_direction';
