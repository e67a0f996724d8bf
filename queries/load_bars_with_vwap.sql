-- purpose: the bars of some symbols in some day files with their mean prices, merged chronologically, one session after the other
-- parameters:
--   files  VARCHAR[], day files in session order
--   wanted  a table (symbol VARCHAR, id USMALLINT) made beforehand, ids in the order of the symbols' names
-- columns:
--   day  USMALLINT, index into files
--   ts  TIMESTAMP WITH TIME ZONE, open time of the bar
--   symbol_id  USMALLINT, id of the symbol in wanted
--   open  DOUBLE, as stored
--   high  DOUBLE, as stored
--   low  DOUBLE, as stored
--   close  DOUBLE, as stored
--   volume  DOUBLE, as stored
--   vwap  DOUBLE, as stored; null in the rows of a file without it
-- grain: one stored bar; the order is total where no (symbol, ts) is stored twice, and the reader sees to it where one is
SELECT
    CAST(b.file_index AS USMALLINT) AS day,
    b.ts,
    w.id AS symbol_id,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    b.vwap
FROM read_parquet($files, hive_partitioning = false, union_by_name = true) AS b
JOIN wanted AS w ON w.symbol = b.symbol
ORDER BY b.ts, w.id
