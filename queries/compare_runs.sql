-- purpose: the figures of several runs beside those of one of them
-- parameters:
--   base  text = null, name of the run that others are compared with; the first by name where null
-- columns:
--   figure      text, name in metrics.json
--   run         text, name of the run
--   value       float64, the run's figure
--   base        float64, the figure of the run compared with
--   difference  float64, value - base
-- grain: one figure of one run; figures that neither has are left out
WITH figures AS (
    UNPIVOT (SELECT run, CAST(COLUMNS(* EXCLUDE (run)) AS DOUBLE) FROM metrics)
    ON COLUMNS(* EXCLUDE (run))
    INTO NAME figure VALUE value
),
runs AS (
    SELECT run FROM metrics
),
names AS (
    SELECT DISTINCT figure FROM figures
),
chosen AS (
    SELECT coalesce($base, min(run)) AS run FROM runs
)
SELECT n.figure, r.run, v.value, b.value AS base, v.value - b.value AS difference
FROM names AS n
CROSS JOIN runs AS r
CROSS JOIN chosen AS c
LEFT JOIN figures AS v ON v.figure = n.figure AND v.run = r.run
LEFT JOIN figures AS b ON b.figure = n.figure AND b.run = c.run
WHERE v.value IS NOT NULL OR b.value IS NOT NULL
ORDER BY n.figure, r.run <> c.run, r.run
