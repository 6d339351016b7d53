-- Embeddings of passages for similarity search by L2 distance, sharded by user.
create sequence embeddings_id;
create table embeddings (
  id bigint not null default nextval('embeddings_id'),
  user_id bigint not null,
  agent_id bigint not null,
  created_at timestamptz not null default now(),
  data_source text not null default '' check (char_length(data_source) <= 200),
  doc_id text not null check (char_length(doc_id) between 1 and 200),
  content text not null,
  embedding vector(384) not null,
  primary key (user_id, id)
);
alter sequence embeddings_id owned by embeddings.id;
create index idx_embeddings_user_agent on embeddings (user_id, agent_id);
create index idx_embeddings_data_source on embeddings (data_source);
create index idx_embeddings_doc on embeddings (doc_id);
create index idx_embeddings_l2 on embeddings using hnsw (embedding vector_l2_ops);
