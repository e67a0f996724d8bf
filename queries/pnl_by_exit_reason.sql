-- purpose: what trades earned by what closed them
-- parameters: none
-- columns:
--   run       text, name of the run
--   reason    text, what closed the trades
--   trades    int64, closed trades
--   won       int64, those that earned more than nothing
--   win_rate  float64, fraction
--   pnl       float64, account currency
--   mean      float64, account currency, of a trade
--   worst     float64, account currency, lowest of a trade
--   best      float64, account currency, highest of a trade
--   fees      float64, account currency
-- grain: one exit reason of one run; open trades are left out
WITH summed AS (
    SELECT
        run,
        exit_reason AS reason,
        count(*) AS trades,
        count(*) FILTER (WHERE pnl > 0) AS won,
        CAST(sum(CAST(round(pnl * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS pnl,
        min(pnl) AS worst,
        max(pnl) AS best,
        CAST(sum(CAST(round(fees * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS fees
    FROM trades
    WHERE NOT is_open
    GROUP BY run, exit_reason
)
SELECT run, reason, trades, won, won / trades AS win_rate, pnl, pnl / trades AS mean, worst, best, fees
FROM summed
ORDER BY run, pnl, reason
