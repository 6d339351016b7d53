-- Total value locked, a time series by protocol: sharded by protocol_id, split by month of timestamp.
create sequence tvl_data_id;
create table tvl_data (
  id bigint not null default nextval('tvl_data_id'),
  protocol_id bigint not null,
  timestamp timestamptz not null,
  tvl numeric(38, 2) not null,
  primary key (protocol_id, id, timestamp)
);
alter sequence tvl_data_id owned by tvl_data.id;
create index idx_tvl_protocol_timestamp on tvl_data (protocol_id, timestamp desc);
