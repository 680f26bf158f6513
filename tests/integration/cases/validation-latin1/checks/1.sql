SELECT true AS ok, 'fine' AS "check";
SELECT true AS ok, 'für alle' AS "check";
