-- Reserved connections: the pooler's look-ups and the monitor still get in when the application has taken every other connection.
grant pg_use_reserved_connections to ladder_pooler, ladder_monitor;
