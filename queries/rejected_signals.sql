-- purpose: why signals became no orders
-- parameters: none
-- columns:
--   run       text, name of the run
--   strategy  text, name of the strategy in the config
--   action    text, what the strategy asked for
--   reason    text, the first check that failed
--   signals   int64, how many were refused for it
--   share     float64, fraction of all signals of this strategy and action
--   symbols   int64, symbols that were refused
--   first     timestamp, the first of them
--   last      timestamp, the last of them
-- grain: one reason of one action of one strategy of one run; only refusals
WITH made AS (
    SELECT run, strategy, action, count(*) AS signals
    FROM decisions
    GROUP BY run, strategy, action
),
refused AS (
    SELECT run, strategy, action, reason, count(*) AS signals, count(DISTINCT symbol) AS symbols, min(ts) AS first, max(ts) AS last
    FROM decisions
    WHERE NOT approved
    GROUP BY run, strategy, action, reason
)
SELECT r.run, r.strategy, r.action, r.reason, r.signals, r.signals / m.signals AS share, r.symbols, r.first, r.last
FROM refused AS r
JOIN made AS m ON m.run = r.run AND m.strategy = r.strategy AND m.action = r.action
ORDER BY r.run, r.strategy, r.signals DESC, r.action, r.reason
