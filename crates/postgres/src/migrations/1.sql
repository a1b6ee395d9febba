CREATE TABLE {schema}.migrations (
  number integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE {schema}.ledgers (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  size bigint NOT NULL DEFAULT 0,
  leaf bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
  epoch bigint NOT NULL DEFAULT 0,
  CONSTRAINT ledgers_name UNIQUE (name),
  CONSTRAINT ledgers_head CHECK (size >= 0 AND octet_length(leaf) = 32)
) WITH (fillfactor = 50);

CREATE TABLE {schema}.entries (
  ledger integer NOT NULL,
  seq bigint NOT NULL,
  prev bytea NOT NULL,
  leaf bytea NOT NULL,
  digest bytea NOT NULL,
  recorded_at timestamptz NOT NULL,
  author text NOT NULL,
  kind text NOT NULL,
  subject text,
  resource text,
  entry bytea NOT NULL,
  CONSTRAINT entries_seq PRIMARY KEY (ledger, seq),
  CONSTRAINT entries_prev UNIQUE (ledger, prev),
  CONSTRAINT entries_digest UNIQUE (ledger, digest)
);

CREATE TABLE {schema}.checkpoints (
  ledger integer PRIMARY KEY,
  size bigint NOT NULL,
  note bytea NOT NULL
);

CREATE TABLE {schema}.snapshots (
  ledger integer NOT NULL,
  size bigint NOT NULL,
  names text[] NOT NULL,
  notes bytea[] NOT NULL,
  payloads bytea[] NOT NULL,
  PRIMARY KEY (ledger, size)
);

CREATE VIEW {schema}.log AS
  SELECT l.name AS ledger, e.seq, e.recorded_at, e.author, e.kind, e.subject, e.resource,
    encode(e.digest, 'hex') AS statement, encode(e.leaf, 'hex') AS leaf, octet_length(e.entry) AS length
  FROM {schema}.entries e JOIN {schema}.ledgers l ON l.id = e.ledger
  WHERE e.seq < l.size;

INSERT INTO {schema}.migrations (number) VALUES (1);
