-- purpose: the best trials of sweeps, with their parameters
-- parameters:
--   figure    text = sharpe, what is best: a column of trials
--   n         int64 = 10, how many of each sweep
--   smallest  bool = false, the smallest is best
-- columns:
--   run           text, name of the sweep
--   rank          int64, 1 for the best; equally good ones in the order of the search
--   trial         int64, number of the trial
--   value         float64, its figure
--   parameters    text, NAME=VALUE of each parameter, by name
--   total_return  float64, fraction
--   sharpe        float64, Sharpe ratio
--   max_drawdown  float64, fraction
--   trades        int64, closed trades
--   fees          float64, account currency
-- grain: one trial of one sweep; trials without the figure are left out
WITH figures AS (
    UNPIVOT (
        SELECT run, trial, TRY_CAST(COLUMNS(* EXCLUDE (run, trial)) AS DOUBLE)
        FROM trials
    )
    ON COLUMNS(* EXCLUDE (run, trial))
    INTO NAME name VALUE value
),
ranked AS (
    SELECT
        run,
        trial,
        value,
        row_number() OVER (PARTITION BY run ORDER BY CASE WHEN $smallest THEN value ELSE -value END, trial) AS rank
    FROM figures
    WHERE name = $figure AND isfinite(value)
),
words AS (
    UNPIVOT (
        SELECT run, trial, CAST(COLUMNS(* EXCLUDE (run, trial)) AS VARCHAR)
        FROM trials
    )
    ON COLUMNS(* EXCLUDE (run, trial))
    INTO NAME name VALUE value
),
listed AS (
    SELECT run, trial, string_agg(name || '=' || value, ', ' ORDER BY name) AS parameters
    FROM words
    WHERE name NOT IN (
        'key', 'status', 'error', 'seconds', 'final_equity', 'net_profit', 'total_return', 'annual_return',
        'volatility', 'sharpe', 'sortino', 'omega', 'calmar', 'max_drawdown', 'max_drawdown_sessions',
        'recovery_sessions', 'ulcer_index', 'exposure', 'exposure_long', 'exposure_short', 'turnover', 'trades',
        'open_trades', 'win_rate', 'profit_factor', 'expectancy', 'best_trade', 'worst_trade', 'avg_hold_minutes',
        'fees', 'slippage', 'borrow', 'dividends', 'profit_before_costs'
    )
    GROUP BY run, trial
)
SELECT r.run, r.rank, r.trial, r.value, l.parameters, t.total_return, t.sharpe, t.max_drawdown, t.trades, t.fees
FROM ranked AS r
JOIN trials AS t ON t.run = r.run AND t.trial = r.trial
LEFT JOIN listed AS l ON l.run = r.run AND l.trial = r.trial
WHERE r.rank <= $n
ORDER BY r.run, r.rank
