-- Functions and aggregates of our dialect that PostgreSQL does not have.
CREATE SCHEMA dialect;
SET check_function_bodies = off;

CREATE FUNCTION dialect.make_array(VARIADIC anycompatiblearray) RETURNS anycompatiblearray LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION dialect.array_length(anyarray) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT cardinality($1)';
CREATE FUNCTION dialect.array_slice(anyarray, bigint, bigint) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT $1[$2:$3]';
CREATE FUNCTION dialect.repeat(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT repeat($1, $2::integer)';
CREATE FUNCTION dialect.round(double precision, integer) RETURNS double precision LANGUAGE sql IMMUTABLE
  AS 'SELECT round($1::text::numeric, $2)::double precision';

-- `lag` and `lead` with IGNORE NULLS, of the values before and behind; the first argument only says the type.
CREATE FUNCTION dialect.lag_known(anycompatible, anycompatiblearray, bigint DEFAULT 1, anycompatible DEFAULT NULL) RETURNS anycompatible
  LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $3 = 0 THEN $1 WHEN k.n >= $3 THEN k.list[k.n - $3 + 1] ELSE $4 END
  FROM (SELECT array_remove($2, NULL) AS list, coalesce(cardinality(array_remove($2, NULL)), 0) AS n) k $$;
CREATE FUNCTION dialect.lead_known(anycompatible, anycompatiblearray, bigint DEFAULT 1, anycompatible DEFAULT NULL) RETURNS anycompatible
  LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $3 = 0 THEN $1 WHEN k.n >= $3 THEN k.list[$3] ELSE $4 END
  FROM (SELECT array_remove($2, NULL) AS list, coalesce(cardinality(array_remove($2, NULL)), 0) AS n) k $$;

-- Window functions of different values, of the list of what is in a frame.
CREATE FUNCTION dialect.different_sum(anyarray) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT sum(DISTINCT v)::numeric FROM unnest($1) v';
CREATE FUNCTION dialect.different_avg(anyarray) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT avg(DISTINCT v)::numeric FROM unnest($1) v';
CREATE FUNCTION dialect.different_count(anyarray) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT count(DISTINCT v) FROM unnest($1) v';

-- All values of a group.
CREATE FUNCTION dialect.gather(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT array_append($1, $2)';
CREATE AGGREGATE dialect.collect_list(anyelement) (sfunc = dialect.gather, stype = anyarray);

CREATE FUNCTION dialect.in_order(anyarray) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT array_agg(DISTINCT v ORDER BY v) FROM unnest($1) v';
CREATE AGGREGATE dialect.collect_set(anyelement) (sfunc = dialect.gather, stype = anyarray, finalfunc = dialect.in_order);

CREATE FUNCTION dialect.different(anyarray) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT count(DISTINCT v) FROM unnest($1) v';
CREATE AGGREGATE dialect.approx_distinct(anyelement) (sfunc = dialect.gather, stype = anyarray, finalfunc = dialect.different);

CREATE FUNCTION dialect.counts(anyarray) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT concat('{', string_agg(concat(to_json(v::text), ':', n), ',' ORDER BY v), '}')
  FROM (SELECT v, count(*) AS n FROM unnest($1) v WHERE v IS NOT NULL GROUP BY v) c $$;
CREATE AGGREGATE dialect.histogram(anyelement) (sfunc = dialect.gather, stype = anyarray, finalfunc = dialect.counts);

-- The value in the middle, or the mean of the two there; of decimals it is a decimal.
CREATE FUNCTION dialect.middle(double precision[]) RETURNS double precision LANGUAGE sql IMMUTABLE
  AS 'SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM unnest($1) v';
CREATE FUNCTION dialect.middle(numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT avg(v) FROM (SELECT v, row_number() OVER (ORDER BY v) AS place, count(*) OVER () AS n FROM unnest($1) v WHERE v IS NOT NULL) o
  WHERE place IN ((n + 1) / 2, n / 2 + 1) $$;
CREATE AGGREGATE dialect.median(double precision) (sfunc = array_append, stype = double precision[], finalfunc = dialect.middle);
CREATE AGGREGATE dialect.median(numeric) (sfunc = array_append, stype = numeric[], finalfunc = dialect.middle);

-- A value of a list by its place, from the end where the place is negative.
CREATE FUNCTION dialect.nth_of(anyarray, bigint) RETURNS anyelement LANGUAGE sql IMMUTABLE
  AS 'SELECT $1[CASE WHEN $2 < 0 THEN cardinality($1) + 1 + $2 ELSE $2 END]';
CREATE FUNCTION dialect.first(anyarray) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1[1]';

-- Percentiles of a list.
CREATE FUNCTION dialect.percentile_of(double precision[], double precision) RETURNS double precision LANGUAGE sql IMMUTABLE
  AS 'SELECT percentile_cont($2) WITHIN GROUP (ORDER BY v) FROM unnest($1) v';

-- The latest, the earliest and the largest values.
CREATE FUNCTION dialect.latest(anyarray, anyelement, integer, boolean) RETURNS anyarray LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $2 IS NULL AND $4 THEN $1 ELSE (array_append($1, $2))[greatest(1, coalesce(cardinality($1), 0) + 2 - $3):] END $$;
CREATE FUNCTION dialect.latest(anyarray, anyelement, integer) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.latest($1, $2, $3, true)';
CREATE FUNCTION dialect.latest(anyarray, anyelement, boolean) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.latest($1, $2, 1, $3)';
CREATE FUNCTION dialect.latest(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.latest($1, $2, 1, true)';
CREATE AGGREGATE dialect.latest_by_offset(anyelement, integer, boolean) (sfunc = dialect.latest, stype = anyarray);
CREATE AGGREGATE dialect.latest_by_offset(anyelement, integer) (sfunc = dialect.latest, stype = anyarray);
CREATE AGGREGATE dialect.latest_by_offset(anyelement, boolean) (sfunc = dialect.latest, stype = anyarray, finalfunc = dialect.first);
CREATE AGGREGATE dialect.latest_by_offset(anyelement) (sfunc = dialect.latest, stype = anyarray, finalfunc = dialect.first);

CREATE FUNCTION dialect.earliest(anyarray, anyelement, integer, boolean) RETURNS anyarray LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $2 IS NULL AND $4 OR cardinality($1) >= $3 THEN $1 ELSE array_append($1, $2) END $$;
CREATE FUNCTION dialect.earliest(anyarray, anyelement, integer) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.earliest($1, $2, $3, true)';
CREATE FUNCTION dialect.earliest(anyarray, anyelement, boolean) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.earliest($1, $2, 1, $3)';
CREATE FUNCTION dialect.earliest(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT dialect.earliest($1, $2, 1, true)';
CREATE AGGREGATE dialect.earliest_by_offset(anyelement, integer, boolean) (sfunc = dialect.earliest, stype = anyarray);
CREATE AGGREGATE dialect.earliest_by_offset(anyelement, integer) (sfunc = dialect.earliest, stype = anyarray);
CREATE AGGREGATE dialect.earliest_by_offset(anyelement, boolean) (sfunc = dialect.earliest, stype = anyarray, finalfunc = dialect.first);
CREATE AGGREGATE dialect.earliest_by_offset(anyelement) (sfunc = dialect.earliest, stype = anyarray, finalfunc = dialect.first);

CREATE FUNCTION dialect.largest(anyarray, anyelement, integer) RETURNS anyarray LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg(v ORDER BY v DESC) FROM (SELECT v FROM unnest(array_append($1, $2)) v WHERE v IS NOT NULL ORDER BY v DESC LIMIT $3) l $$;
CREATE AGGREGATE dialect.topk(anyelement, integer) (sfunc = dialect.largest, stype = anyarray);
CREATE FUNCTION dialect.largest_distinct(anyarray, anyelement, integer) RETURNS anyarray LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg(v ORDER BY v DESC) FROM (SELECT DISTINCT v FROM unnest(array_append($1, $2)) v WHERE v IS NOT NULL ORDER BY v DESC LIMIT $3) l $$;
CREATE AGGREGATE dialect.topkdistinct(anyelement, integer) (sfunc = dialect.largest_distinct, stype = anyarray);

-- With a column that comes along.
CREATE TYPE dialect.top AS (sort_col integer, col0 text);
CREATE FUNCTION dialect.largest(dialect.top[], integer, text, integer) RETURNS dialect.top[] LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg(v ORDER BY v DESC) FROM (
    SELECT v FROM unnest(array_append($1, ($2, $3)::dialect.top)) v WHERE (v).sort_col IS NOT NULL ORDER BY v DESC LIMIT $4) l $$;
CREATE AGGREGATE dialect.topk(integer, text, integer) (sfunc = dialect.largest, stype = dialect.top[]);
