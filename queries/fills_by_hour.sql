-- purpose: when orders were executed, by the hour of the exchange's clock, and what it cost
-- parameters: none
-- columns:
--   run           text, name of the run
--   hour          int64, hour of the day at the exchange
--   fills         int64, executions
--   buys          int64, those that bought
--   sells         int64, those that sold
--   value         float64, account currency, price x quantity of all
--   fees          float64, account currency
--   slippage      float64, account currency
--   slippage_bps  float64, slippage / value in basis points; null where the value is 0
-- grain: one hour of the day of one run; only hours with a fill
WITH clocks AS (
    SELECT run, value AS zone
    FROM manifest
    WHERE key = 'calendar.timezone'
),
summed AS (
    SELECT
        f.run,
        CAST(hour(f.ts AT TIME ZONE coalesce(c.zone, 'UTC')) AS BIGINT) AS hour,
        count(*) AS fills,
        count(*) FILTER (WHERE f.side = 'buy') AS buys,
        count(*) FILTER (WHERE f.side = 'sell') AS sells,
        CAST(sum(CAST(round(f.value * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS value,
        CAST(sum(CAST(round(f.fee * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS fees,
        CAST(sum(CAST(round(f.slippage * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS slippage
    FROM fills AS f
    LEFT JOIN clocks AS c ON c.run = f.run
    GROUP BY ALL
)
SELECT *, 1e4 * slippage / nullif(value, 0) AS slippage_bps
FROM summed
ORDER BY run, hour
