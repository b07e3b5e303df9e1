-- How our dialect has what DuckDB has otherwise, or not at all.
SET TimeZone = 'UTC';
SET default_null_order = 'postgres';
SET integer_division = true;
SET threads = 1;

-- A double is rounded to the nearest even number, and not away from zero.
CREATE MACRO round(x) AS CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN round_even(x, 0) ELSE system.main.round(x) END,
  (x, digits) AS system.main.round(x, digits);

-- What an aggregate divides by nothing is NULL.
CREATE MACRO unless_nan(x) AS CASE WHEN isnan(x) THEN NULL ELSE x END;

-- Parts of a list; of none there is none.
CREATE MACRO first_of(list, n) AS list[1:n];
CREATE MACRO last_of(list, n) AS list[-n:];

-- The counts of no values are none.
CREATE MACRO counts(found) AS coalesce(found, MAP {});
