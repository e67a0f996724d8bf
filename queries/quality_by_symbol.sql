-- purpose: how complete each symbol's bars were, the worst first
-- parameters: none
-- columns:
--   run              text, name of the run
--   symbol           text, instrument
--   interval         text, bar length
--   sessions         int64, sessions
--   expected         int64, slots of all sessions
--   actual           int64, slots that held a bar
--   quality          float64, percent; 100 x actual / expected
--   worst            float64, percent, lowest of a session
--   worst_session    date, the first session that had it
--   gaps             int64, runs of missing slots
--   longest_gap      int64, slots of the longest run
--   out_of_session   int64, bars left out for lying outside of sessions
--   duplicates       int64, bars left out for repeating a slot
-- grain: one symbol and interval of one run
WITH summed AS (
    SELECT
        run,
        symbol,
        interval,
        count(*) AS sessions,
        CAST(sum(expected) AS BIGINT) AS expected,
        CAST(sum(actual) AS BIGINT) AS actual,
        min(quality) AS worst,
        arg_min(session, (quality, session)) AS worst_session,
        CAST(sum(gaps) AS BIGINT) AS gaps,
        max(longest_gap) AS longest_gap,
        CAST(sum(out_of_session) AS BIGINT) AS out_of_session,
        CAST(sum(duplicates) AS BIGINT) AS duplicates
    FROM quality
    GROUP BY run, symbol, interval
)
SELECT
    run,
    symbol,
    interval,
    sessions,
    expected,
    actual,
    100 * actual / nullif(expected, 0) AS quality,
    worst,
    worst_session,
    gaps,
    longest_gap,
    out_of_session,
    duplicates
FROM summed
ORDER BY run, quality, symbol, interval
