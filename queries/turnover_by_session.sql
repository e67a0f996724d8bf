-- purpose: how much was traded each session beside the equity
-- parameters: none
-- columns:
--   run       text, name of the run
--   session   date, label of the trading day
--   fills     int64, executions
--   value     float64, account currency, price x quantity of all fills, buys and sells
--   equity    float64, account currency, at the end of the session
--   turnover  float64, value / equity; null where the equity is 0
--   fees      float64, account currency
--   slippage  float64, account currency
-- grain: one session of one run, those without a fill too
WITH summed AS (
    SELECT
        run,
        session,
        count(*) AS fills,
        CAST(sum(CAST(round(value * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS value,
        CAST(sum(CAST(round(fee * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS fees,
        CAST(sum(CAST(round(slippage * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS slippage
    FROM fills
    GROUP BY run, session
)
SELECT
    s.run,
    s.session,
    coalesce(f.fills, 0) AS fills,
    coalesce(f.value, 0) AS value,
    s.equity,
    coalesce(f.value, 0) / nullif(s.equity, 0) AS turnover,
    coalesce(f.fees, 0) AS fees,
    coalesce(f.slippage, 0) AS slippage
FROM sessions AS s
LEFT JOIN summed AS f ON f.run = s.run AND f.session = s.session
ORDER BY s.run, s.session
