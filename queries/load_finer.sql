-- purpose: the finer bars of some bars: those inside each bar's time, with a close and volume
-- parameters:
--   files  VARCHAR[], day files of the finer interval
--   begin  TIMESTAMP WITH TIME ZONE, the open of the first of the bars
--   finish  TIMESTAMP WITH TIME ZONE, the end of the last of them
--   spans  a table (place INTEGER, symbol VARCHAR, begin BIGINT, finish BIGINT) made beforehand, us UTC
-- columns:
--   place  INTEGER, the bar's place in spans
--   open  DOUBLE, as stored
--   high  DOUBLE, as stored
--   low  DOUBLE, as stored
--   close  DOUBLE, as stored
-- grain: one stored bar of the finer interval
SELECT
    w.place,
    b.open,
    b.high,
    b.low,
    b.close
FROM read_parquet($files, hive_partitioning = false) AS b
JOIN spans AS w ON w.symbol = b.symbol AND epoch_us(b.ts) >= w.begin AND epoch_us(b.ts) < w.finish
WHERE b.ts >= $begin AND b.ts < $finish AND isfinite(b.open + b.high + b.low + b.close) AND isfinite(b.volume) AND b.volume > 0
ORDER BY w.place, b.ts, b.open, b.high, b.low, b.close
