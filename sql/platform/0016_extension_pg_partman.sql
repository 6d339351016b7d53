-- Extension pg_partman: creates and drops partitions.
create schema if not exists partman;
revoke all on schema partman from public;
create extension if not exists pg_partman schema partman;
