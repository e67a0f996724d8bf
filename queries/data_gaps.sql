-- purpose: where bars were missing, the longest first
-- parameters:
--   n       int64 = 20, how many of each run
--   symbol  text = null, only this symbol
-- columns:
--   run         text, name of the run
--   rank        int64, 1 for the longest
--   symbol      text, instrument
--   session     date, label of the trading day
--   interval    text, bar length
--   kind        text, where in the session, or market where most symbols miss it
--   start       timestamp, open of the first missing slot
--   end         timestamp, end of the last missing slot
--   bars        int64, missing slots
--   reconciled  bool, the session's volume agrees with the lake's daily bar; null where there is none
-- grain: one run of missing slots of one symbol, session and interval of one run
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run ORDER BY bars DESC, symbol, session, interval, start) AS rank
    FROM gaps
    WHERE $symbol IS NULL OR symbol = $symbol
)
SELECT run, rank, symbol, session, interval, kind, start, "end", bars, reconciled
FROM ranked
WHERE rank <= $n
ORDER BY run, rank
