-- Bots of a tenant, with the model provider behind them. Small, copied to every shard.
create sequence bots_id;
create table bots (
  id bigint primary key default nextval('bots_id'),
  tenant_id bigint not null references tenants (id),
  created_at timestamptz not null default now(),
  llm_provider smallint not null default 0 check (llm_provider between 0 and 9),
  is_active boolean not null default true,
  name text not null check (char_length(name) between 1 and 200)
);
alter sequence bots_id owned by bots.id;
comment on column bots.llm_provider is
  '0 openai, 1 anthropic, 2 azure_openai, 3 azure_claude, 4 google, 5 local, 6 ollama, 7 groq, 8 mistral, 9 cohere';
create index idx_bots_active on bots (tenant_id, is_active) where is_active = true;
