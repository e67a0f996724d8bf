-- purpose: how long closed trades were held, in minutes of the clock
-- parameters: none
-- columns:
--   run        text, name of the run
--   strategy   text, name of the strategy in the config
--   direction  text, long or short
--   trades     int64, closed trades
--   shortest   float64, minutes from entry to exit
--   quarter    float64, minutes that a quarter of the trades was held at most
--   median     float64, minutes that half of the trades was held at most
--   most       float64, minutes that nine tenths of the trades were held at most
--   longest    float64, minutes from entry to exit
--   mean       float64, minutes from entry to exit
-- grain: one direction of one strategy of one run; quantiles are those of trades, never between two
WITH held AS (
    SELECT run, strategy, direction, epoch_us(exit_ts) - epoch_us(entry_ts) AS us
    FROM trades
    WHERE NOT is_open
)
SELECT
    run,
    strategy,
    direction,
    count(*) AS trades,
    min(us) / 6e7 AS shortest,
    quantile_disc(us, 0.25) / 6e7 AS quarter,
    quantile_disc(us, 0.5) / 6e7 AS median,
    quantile_disc(us, 0.9) / 6e7 AS most,
    max(us) / 6e7 AS longest,
    CAST(sum(us) AS DOUBLE) / count(*) / 6e7 AS mean
FROM held
GROUP BY run, strategy, direction
ORDER BY run, strategy, direction
