-- Names of the SMALLINT values, both ways. Generated from sql/values.yaml by `npm run values`. Applied again whenever it changes.
create or replace function channel_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'web'
  when 1 then 'whatsapp'
  when 2 then 'telegram'
  when 3 then 'msteams'
  when 4 then 'slack'
  when 5 then 'email'
  when 6 then 'sms'
  when 7 then 'voice'
  when 8 then 'instagram'
  when 9 then 'api'
end;
create or replace function channel_value(name text) returns smallint immutable parallel safe
return (case name
  when 'web' then 0
  when 'whatsapp' then 1
  when 'telegram' then 2
  when 'msteams' then 3
  when 'slack' then 4
  when 'email' then 5
  when 'sms' then 6
  when 'voice' then 7
  when 'instagram' then 8
  when 'api' then 9
end)::smallint;
comment on function channel_name(integer) is 'Way that messages come in and go out: the name of a number, null for an unknown one';
comment on function channel_value(text) is 'Way that messages come in and go out: the number of a name, null for an unknown one';

create or replace function message_role_name(value integer) returns text immutable parallel safe
return case value
  when 1 then 'user'
  when 2 then 'assistant'
  when 3 then 'system'
  when 4 then 'tool'
  when 9 then 'episodic'
  when 10 then 'compact'
end;
create or replace function message_role_value(name text) returns smallint immutable parallel safe
return (case name
  when 'user' then 1
  when 'assistant' then 2
  when 'system' then 3
  when 'tool' then 4
  when 'episodic' then 9
  when 'compact' then 10
end)::smallint;
comment on function message_role_name(integer) is 'Who speaks in a session: the name of a number, null for an unknown one';
comment on function message_role_value(text) is 'Who speaks in a session: the number of a name, null for an unknown one';

create or replace function message_type_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'text'
  when 1 then 'image'
  when 2 then 'audio'
  when 3 then 'video'
  when 4 then 'document'
  when 5 then 'location'
  when 6 then 'contact'
  when 7 then 'sticker'
  when 8 then 'reaction'
end;
create or replace function message_type_value(name text) returns smallint immutable parallel safe
return (case name
  when 'text' then 0
  when 'image' then 1
  when 'audio' then 2
  when 'video' then 3
  when 'document' then 4
  when 'location' then 5
  when 'contact' then 6
  when 'sticker' then 7
  when 'reaction' then 8
end)::smallint;
comment on function message_type_name(integer) is 'What a message carries: the name of a number, null for an unknown one';
comment on function message_type_value(text) is 'What a message carries: the number of a name, null for an unknown one';

create or replace function llm_provider_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'openai'
  when 1 then 'anthropic'
  when 2 then 'azure_openai'
  when 3 then 'azure_claude'
  when 4 then 'google'
  when 5 then 'local'
  when 6 then 'ollama'
  when 7 then 'groq'
  when 8 then 'mistral'
  when 9 then 'cohere'
end;
create or replace function llm_provider_value(name text) returns smallint immutable parallel safe
return (case name
  when 'openai' then 0
  when 'anthropic' then 1
  when 'azure_openai' then 2
  when 'azure_claude' then 3
  when 'google' then 4
  when 'local' then 5
  when 'ollama' then 6
  when 'groq' then 7
  when 'mistral' then 8
  when 'cohere' then 9
end)::smallint;
comment on function llm_provider_name(integer) is 'Provider of a language model: the name of a number, null for an unknown one';
comment on function llm_provider_value(text) is 'Provider of a language model: the number of a name, null for an unknown one';

create or replace function task_status_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'pending'
  when 1 then 'ready'
  when 2 then 'running'
  when 3 then 'paused'
  when 4 then 'waiting_approval'
  when 5 then 'completed'
  when 6 then 'failed'
  when 7 then 'cancelled'
end;
create or replace function task_status_value(name text) returns smallint immutable parallel safe
return (case name
  when 'pending' then 0
  when 'ready' then 1
  when 'running' then 2
  when 'paused' then 3
  when 'waiting_approval' then 4
  when 'completed' then 5
  when 'failed' then 6
  when 'cancelled' then 7
end)::smallint;
comment on function task_status_name(integer) is 'State of a task: the name of a number, null for an unknown one';
comment on function task_status_value(text) is 'State of a task: the number of a name, null for an unknown one';

create or replace function task_priority_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'low'
  when 1 then 'normal'
  when 2 then 'high'
  when 3 then 'urgent'
  when 4 then 'critical'
end;
create or replace function task_priority_value(name text) returns smallint immutable parallel safe
return (case name
  when 'low' then 0
  when 'normal' then 1
  when 'high' then 2
  when 'urgent' then 3
  when 'critical' then 4
end)::smallint;
comment on function task_priority_name(integer) is 'Priority of a task: the name of a number, null for an unknown one';
comment on function task_priority_value(text) is 'Priority of a task: the number of a name, null for an unknown one';

create or replace function execution_mode_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'manual'
  when 1 then 'supervised'
  when 2 then 'autonomous'
end;
create or replace function execution_mode_value(name text) returns smallint immutable parallel safe
return (case name
  when 'manual' then 0
  when 'supervised' then 1
  when 'autonomous' then 2
end)::smallint;
comment on function execution_mode_name(integer) is 'How much a task may do by itself: the name of a number, null for an unknown one';
comment on function execution_mode_value(text) is 'How much a task may do by itself: the number of a name, null for an unknown one';

create or replace function risk_level_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'none'
  when 1 then 'low'
  when 2 then 'medium'
  when 3 then 'high'
  when 4 then 'critical'
end;
create or replace function risk_level_value(name text) returns smallint immutable parallel safe
return (case name
  when 'none' then 0
  when 'low' then 1
  when 'medium' then 2
  when 'high' then 3
  when 'critical' then 4
end)::smallint;
comment on function risk_level_name(integer) is 'Risk of a task: the name of a number, null for an unknown one';
comment on function risk_level_value(text) is 'Risk of a task: the number of a name, null for an unknown one';

create or replace function approval_status_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'pending'
  when 1 then 'approved'
  when 2 then 'rejected'
  when 3 then 'expired'
  when 4 then 'skipped'
end;
create or replace function approval_status_value(name text) returns smallint immutable parallel safe
return (case name
  when 'pending' then 0
  when 'approved' then 1
  when 'rejected' then 2
  when 'expired' then 3
  when 'skipped' then 4
end)::smallint;
comment on function approval_status_name(integer) is 'State of an approval: the name of a number, null for an unknown one';
comment on function approval_status_value(text) is 'State of an approval: the number of a name, null for an unknown one';

create or replace function intent_type_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'unknown'
  when 1 then 'app_create'
  when 2 then 'todo'
  when 3 then 'monitor'
  when 4 then 'action'
  when 5 then 'schedule'
  when 6 then 'goal'
  when 7 then 'tool'
  when 8 then 'query'
end;
create or replace function intent_type_value(name text) returns smallint immutable parallel safe
return (case name
  when 'unknown' then 0
  when 'app_create' then 1
  when 'todo' then 2
  when 'monitor' then 3
  when 'action' then 4
  when 'schedule' then 5
  when 'goal' then 6
  when 'tool' then 7
  when 'query' then 8
end)::smallint;
comment on function intent_type_name(integer) is 'What a user wants: the name of a number, null for an unknown one';
comment on function intent_type_value(text) is 'What a user wants: the number of a name, null for an unknown one';

create or replace function memory_type_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'short'
  when 1 then 'long'
  when 2 then 'episodic'
  when 3 then 'semantic'
  when 4 then 'procedural'
end;
create or replace function memory_type_value(name text) returns smallint immutable parallel safe
return (case name
  when 'short' then 0
  when 'long' then 1
  when 'episodic' then 2
  when 'semantic' then 3
  when 'procedural' then 4
end)::smallint;
comment on function memory_type_name(integer) is 'Kind of memory: the name of a number, null for an unknown one';
comment on function memory_type_value(text) is 'Kind of memory: the number of a name, null for an unknown one';

create or replace function sync_status_name(value integer) returns text immutable parallel safe
return case value
  when 0 then 'synced'
  when 1 then 'pending'
  when 2 then 'conflict'
  when 3 then 'error'
  when 4 then 'deleted'
end;
create or replace function sync_status_value(name text) returns smallint immutable parallel safe
return (case name
  when 'synced' then 0
  when 'pending' then 1
  when 'conflict' then 2
  when 'error' then 3
  when 'deleted' then 4
end)::smallint;
comment on function sync_status_name(integer) is 'State of synchronization: the name of a number, null for an unknown one';
comment on function sync_status_value(text) is 'State of synchronization: the number of a name, null for an unknown one';

create or replace view domain_values as
select * from (values
  ('channel', 0::smallint, 'web', 'Web chat interface'),
  ('channel', 1::smallint, 'whatsapp', 'WhatsApp Business'),
  ('channel', 2::smallint, 'telegram', 'Telegram Bot'),
  ('channel', 3::smallint, 'msteams', 'Microsoft Teams'),
  ('channel', 4::smallint, 'slack', 'Slack'),
  ('channel', 5::smallint, 'email', 'Email channel'),
  ('channel', 6::smallint, 'sms', 'SMS/Text messages'),
  ('channel', 7::smallint, 'voice', 'Voice/Phone'),
  ('channel', 8::smallint, 'instagram', 'Instagram DM'),
  ('channel', 9::smallint, 'api', 'Direct API'),
  ('message_role', 1::smallint, 'user', 'User message'),
  ('message_role', 2::smallint, 'assistant', 'Bot response'),
  ('message_role', 3::smallint, 'system', 'System prompt'),
  ('message_role', 4::smallint, 'tool', 'Tool call/result'),
  ('message_role', 9::smallint, 'episodic', 'Episodic memory summary'),
  ('message_role', 10::smallint, 'compact', 'Compacted conversation'),
  ('message_type', 0::smallint, 'text', 'Plain text'),
  ('message_type', 1::smallint, 'image', 'Image attachment'),
  ('message_type', 2::smallint, 'audio', 'Audio file'),
  ('message_type', 3::smallint, 'video', 'Video file'),
  ('message_type', 4::smallint, 'document', 'Document/PDF'),
  ('message_type', 5::smallint, 'location', 'GPS location'),
  ('message_type', 6::smallint, 'contact', 'Contact card'),
  ('message_type', 7::smallint, 'sticker', 'Sticker'),
  ('message_type', 8::smallint, 'reaction', 'Message reaction'),
  ('llm_provider', 0::smallint, 'openai', 'OpenAI API'),
  ('llm_provider', 1::smallint, 'anthropic', 'Anthropic Claude'),
  ('llm_provider', 2::smallint, 'azure_openai', 'Azure OpenAI'),
  ('llm_provider', 3::smallint, 'azure_claude', 'Azure Claude'),
  ('llm_provider', 4::smallint, 'google', 'Google AI'),
  ('llm_provider', 5::smallint, 'local', 'Local llama.cpp'),
  ('llm_provider', 6::smallint, 'ollama', 'Ollama'),
  ('llm_provider', 7::smallint, 'groq', 'Groq'),
  ('llm_provider', 8::smallint, 'mistral', 'Mistral AI'),
  ('llm_provider', 9::smallint, 'cohere', 'Cohere'),
  ('task_status', 0::smallint, 'pending', 'Waiting to start'),
  ('task_status', 1::smallint, 'ready', 'Ready to execute'),
  ('task_status', 2::smallint, 'running', 'Currently executing'),
  ('task_status', 3::smallint, 'paused', 'Paused by user'),
  ('task_status', 4::smallint, 'waiting_approval', 'Needs approval'),
  ('task_status', 5::smallint, 'completed', 'Successfully finished'),
  ('task_status', 6::smallint, 'failed', 'Failed with error'),
  ('task_status', 7::smallint, 'cancelled', 'Cancelled by user'),
  ('task_priority', 0::smallint, 'low', 'Low priority'),
  ('task_priority', 1::smallint, 'normal', 'Normal priority'),
  ('task_priority', 2::smallint, 'high', 'High priority'),
  ('task_priority', 3::smallint, 'urgent', 'Urgent'),
  ('task_priority', 4::smallint, 'critical', 'Critical'),
  ('execution_mode', 0::smallint, 'manual', 'Manual execution only'),
  ('execution_mode', 1::smallint, 'supervised', 'Requires approval'),
  ('execution_mode', 2::smallint, 'autonomous', 'Fully automatic'),
  ('risk_level', 0::smallint, 'none', 'No risk'),
  ('risk_level', 1::smallint, 'low', 'Low risk'),
  ('risk_level', 2::smallint, 'medium', 'Medium risk'),
  ('risk_level', 3::smallint, 'high', 'High risk'),
  ('risk_level', 4::smallint, 'critical', 'Critical risk'),
  ('approval_status', 0::smallint, 'pending', 'Awaiting decision'),
  ('approval_status', 1::smallint, 'approved', 'Approved'),
  ('approval_status', 2::smallint, 'rejected', 'Rejected'),
  ('approval_status', 3::smallint, 'expired', 'Timed out'),
  ('approval_status', 4::smallint, 'skipped', 'Skipped'),
  ('intent_type', 0::smallint, 'unknown', 'Unclassified'),
  ('intent_type', 1::smallint, 'app_create', 'Create application'),
  ('intent_type', 2::smallint, 'todo', 'Create task/reminder'),
  ('intent_type', 3::smallint, 'monitor', 'Set up monitoring'),
  ('intent_type', 4::smallint, 'action', 'Execute action'),
  ('intent_type', 5::smallint, 'schedule', 'Create schedule'),
  ('intent_type', 6::smallint, 'goal', 'Set goal'),
  ('intent_type', 7::smallint, 'tool', 'Create tool'),
  ('intent_type', 8::smallint, 'query', 'Query/search'),
  ('memory_type', 0::smallint, 'short', 'Short-term'),
  ('memory_type', 1::smallint, 'long', 'Long-term'),
  ('memory_type', 2::smallint, 'episodic', 'Episodic'),
  ('memory_type', 3::smallint, 'semantic', 'Semantic'),
  ('memory_type', 4::smallint, 'procedural', 'Procedural'),
  ('sync_status', 0::smallint, 'synced', 'Fully synced'),
  ('sync_status', 1::smallint, 'pending', 'Sync pending'),
  ('sync_status', 2::smallint, 'conflict', 'Conflict detected'),
  ('sync_status', 3::smallint, 'error', 'Sync error'),
  ('sync_status', 4::smallint, 'deleted', 'Marked for deletion')
) as v (domain, value, name, description);
comment on view domain_values is 'All values of the SMALLINT columns';
