-- Extension pg_repack: rewrites a bloated table without blocking it. Its objects are always in schema repack; the extension itself is
-- registered under ladder, so that nobody who owns schema public can drop it.
create extension if not exists pg_repack schema ladder;
