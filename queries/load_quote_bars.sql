-- purpose: the quote bars, with their highs and lows, of some symbols in some day files, merged chronologically, one session after the other
-- parameters:
--   files  VARCHAR[], day files in session order
--   wanted  a table (symbol VARCHAR, id USMALLINT) made beforehand, ids in the order of the symbols' names
-- columns:
--   day  USMALLINT, index into files
--   ts  TIMESTAMP WITH TIME ZONE, open time of the bar
--   symbol_id  USMALLINT, id of the symbol in wanted
--   bid_open  DOUBLE, as stored
--   bid_high  DOUBLE, as stored
--   bid_low  DOUBLE, as stored
--   bid_close  DOUBLE, as stored
--   ask_open  DOUBLE, as stored
--   ask_high  DOUBLE, as stored
--   ask_low  DOUBLE, as stored
--   ask_close  DOUBLE, as stored
-- grain: one stored bar; the order is total where no (symbol, ts) is stored twice, and the reader sees to it where one is
SELECT
    CAST(q.file_index AS USMALLINT) AS day,
    q.ts,
    w.id AS symbol_id,
    q.bid_open,
    q.bid_high,
    q.bid_low,
    q.bid_close,
    q.ask_open,
    q.ask_high,
    q.ask_low,
    q.ask_close
FROM read_parquet($files, hive_partitioning = false) AS q
JOIN wanted AS w ON w.symbol = q.symbol
ORDER BY q.ts, w.id
