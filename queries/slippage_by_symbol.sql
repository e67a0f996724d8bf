-- purpose: what fills cost in each symbol, the dearest first
-- parameters: none
-- columns:
--   run           text, name of the run
--   symbol        text, instrument
--   fills         int64, executions
--   value         float64, account currency, price x quantity of all
--   slippage      float64, account currency
--   slippage_bps  float64, slippage / value in basis points; null where the value is 0
--   fees          float64, account currency
--   fees_bps      float64, fees / value in basis points; null where the value is 0
-- grain: one symbol of one run; only symbols with a fill
WITH summed AS (
    SELECT
        run,
        symbol,
        count(*) AS fills,
        CAST(sum(CAST(round(value * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS value,
        CAST(sum(CAST(round(slippage * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS slippage,
        CAST(sum(CAST(round(fee * 1e6) AS BIGINT)) AS DOUBLE) / 1e6 AS fees
    FROM fills
    GROUP BY run, symbol
)
SELECT
    run,
    symbol,
    fills,
    value,
    slippage,
    1e4 * slippage / nullif(value, 0) AS slippage_bps,
    fees,
    1e4 * fees / nullif(value, 0) AS fees_bps
FROM summed
ORDER BY run, slippage DESC, symbol
