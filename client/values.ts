/** Values of the SMALLINT columns. Generated from sql/values.yaml by `npm run values`. */

/** Way that messages come in and go out: names → numbers. */
export const CHANNEL = {
  /** Web chat interface */
  web: 0,
  /** WhatsApp Business */
  whatsapp: 1,
  /** Telegram Bot */
  telegram: 2,
  /** Microsoft Teams */
  msteams: 3,
  /** Slack */
  slack: 4,
  /** Email channel */
  email: 5,
  /** SMS/Text messages */
  sms: 6,
  /** Voice/Phone */
  voice: 7,
  /** Instagram DM */
  instagram: 8,
  /** Direct API */
  api: 9,
} as const;
export type ChannelName = keyof typeof CHANNEL;
export type Channel = (typeof CHANNEL)[ChannelName];
/** Way that messages come in and go out: numbers → names. */
export const CHANNEL_NAME = {
  0: "web",
  1: "whatsapp",
  2: "telegram",
  3: "msteams",
  4: "slack",
  5: "email",
  6: "sms",
  7: "voice",
  8: "instagram",
  9: "api",
} as const satisfies Record<Channel, ChannelName>;

/** Who speaks in a session: names → numbers. */
export const MESSAGE_ROLE = {
  /** User message */
  user: 1,
  /** Bot response */
  assistant: 2,
  /** System prompt */
  system: 3,
  /** Tool call/result */
  tool: 4,
  /** Episodic memory summary */
  episodic: 9,
  /** Compacted conversation */
  compact: 10,
} as const;
export type MessageRoleName = keyof typeof MESSAGE_ROLE;
export type MessageRole = (typeof MESSAGE_ROLE)[MessageRoleName];
/** Who speaks in a session: numbers → names. */
export const MESSAGE_ROLE_NAME = {
  1: "user",
  2: "assistant",
  3: "system",
  4: "tool",
  9: "episodic",
  10: "compact",
} as const satisfies Record<MessageRole, MessageRoleName>;

/** What a message carries: names → numbers. */
export const MESSAGE_TYPE = {
  /** Plain text */
  text: 0,
  /** Image attachment */
  image: 1,
  /** Audio file */
  audio: 2,
  /** Video file */
  video: 3,
  /** Document/PDF */
  document: 4,
  /** GPS location */
  location: 5,
  /** Contact card */
  contact: 6,
  /** Sticker */
  sticker: 7,
  /** Message reaction */
  reaction: 8,
} as const;
export type MessageTypeName = keyof typeof MESSAGE_TYPE;
export type MessageType = (typeof MESSAGE_TYPE)[MessageTypeName];
/** What a message carries: numbers → names. */
export const MESSAGE_TYPE_NAME = {
  0: "text",
  1: "image",
  2: "audio",
  3: "video",
  4: "document",
  5: "location",
  6: "contact",
  7: "sticker",
  8: "reaction",
} as const satisfies Record<MessageType, MessageTypeName>;

/** Provider of a language model: names → numbers. */
export const LLM_PROVIDER = {
  /** OpenAI API */
  openai: 0,
  /** Anthropic Claude */
  anthropic: 1,
  /** Azure OpenAI */
  azure_openai: 2,
  /** Azure Claude */
  azure_claude: 3,
  /** Google AI */
  google: 4,
  /** Local llama.cpp */
  local: 5,
  /** Ollama */
  ollama: 6,
  /** Groq */
  groq: 7,
  /** Mistral AI */
  mistral: 8,
  /** Cohere */
  cohere: 9,
} as const;
export type LlmProviderName = keyof typeof LLM_PROVIDER;
export type LlmProvider = (typeof LLM_PROVIDER)[LlmProviderName];
/** Provider of a language model: numbers → names. */
export const LLM_PROVIDER_NAME = {
  0: "openai",
  1: "anthropic",
  2: "azure_openai",
  3: "azure_claude",
  4: "google",
  5: "local",
  6: "ollama",
  7: "groq",
  8: "mistral",
  9: "cohere",
} as const satisfies Record<LlmProvider, LlmProviderName>;

/** State of a task: names → numbers. */
export const TASK_STATUS = {
  /** Waiting to start */
  pending: 0,
  /** Ready to execute */
  ready: 1,
  /** Currently executing */
  running: 2,
  /** Paused by user */
  paused: 3,
  /** Needs approval */
  waiting_approval: 4,
  /** Successfully finished */
  completed: 5,
  /** Failed with error */
  failed: 6,
  /** Cancelled by user */
  cancelled: 7,
} as const;
export type TaskStatusName = keyof typeof TASK_STATUS;
export type TaskStatus = (typeof TASK_STATUS)[TaskStatusName];
/** State of a task: numbers → names. */
export const TASK_STATUS_NAME = {
  0: "pending",
  1: "ready",
  2: "running",
  3: "paused",
  4: "waiting_approval",
  5: "completed",
  6: "failed",
  7: "cancelled",
} as const satisfies Record<TaskStatus, TaskStatusName>;

/** Priority of a task: names → numbers. */
export const TASK_PRIORITY = {
  /** Low priority */
  low: 0,
  /** Normal priority */
  normal: 1,
  /** High priority */
  high: 2,
  /** Urgent */
  urgent: 3,
  /** Critical */
  critical: 4,
} as const;
export type TaskPriorityName = keyof typeof TASK_PRIORITY;
export type TaskPriority = (typeof TASK_PRIORITY)[TaskPriorityName];
/** Priority of a task: numbers → names. */
export const TASK_PRIORITY_NAME = {
  0: "low",
  1: "normal",
  2: "high",
  3: "urgent",
  4: "critical",
} as const satisfies Record<TaskPriority, TaskPriorityName>;

/** How much a task may do by itself: names → numbers. */
export const EXECUTION_MODE = {
  /** Manual execution only */
  manual: 0,
  /** Requires approval */
  supervised: 1,
  /** Fully automatic */
  autonomous: 2,
} as const;
export type ExecutionModeName = keyof typeof EXECUTION_MODE;
export type ExecutionMode = (typeof EXECUTION_MODE)[ExecutionModeName];
/** How much a task may do by itself: numbers → names. */
export const EXECUTION_MODE_NAME = {
  0: "manual",
  1: "supervised",
  2: "autonomous",
} as const satisfies Record<ExecutionMode, ExecutionModeName>;

/** Risk of a task: names → numbers. */
export const RISK_LEVEL = {
  /** No risk */
  none: 0,
  /** Low risk */
  low: 1,
  /** Medium risk */
  medium: 2,
  /** High risk */
  high: 3,
  /** Critical risk */
  critical: 4,
} as const;
export type RiskLevelName = keyof typeof RISK_LEVEL;
export type RiskLevel = (typeof RISK_LEVEL)[RiskLevelName];
/** Risk of a task: numbers → names. */
export const RISK_LEVEL_NAME = {
  0: "none",
  1: "low",
  2: "medium",
  3: "high",
  4: "critical",
} as const satisfies Record<RiskLevel, RiskLevelName>;

/** State of an approval: names → numbers. */
export const APPROVAL_STATUS = {
  /** Awaiting decision */
  pending: 0,
  /** Approved */
  approved: 1,
  /** Rejected */
  rejected: 2,
  /** Timed out */
  expired: 3,
  /** Skipped */
  skipped: 4,
} as const;
export type ApprovalStatusName = keyof typeof APPROVAL_STATUS;
export type ApprovalStatus = (typeof APPROVAL_STATUS)[ApprovalStatusName];
/** State of an approval: numbers → names. */
export const APPROVAL_STATUS_NAME = {
  0: "pending",
  1: "approved",
  2: "rejected",
  3: "expired",
  4: "skipped",
} as const satisfies Record<ApprovalStatus, ApprovalStatusName>;

/** What a user wants: names → numbers. */
export const INTENT_TYPE = {
  /** Unclassified */
  unknown: 0,
  /** Create application */
  app_create: 1,
  /** Create task/reminder */
  todo: 2,
  /** Set up monitoring */
  monitor: 3,
  /** Execute action */
  action: 4,
  /** Create schedule */
  schedule: 5,
  /** Set goal */
  goal: 6,
  /** Create tool */
  tool: 7,
  /** Query/search */
  query: 8,
} as const;
export type IntentTypeName = keyof typeof INTENT_TYPE;
export type IntentType = (typeof INTENT_TYPE)[IntentTypeName];
/** What a user wants: numbers → names. */
export const INTENT_TYPE_NAME = {
  0: "unknown",
  1: "app_create",
  2: "todo",
  3: "monitor",
  4: "action",
  5: "schedule",
  6: "goal",
  7: "tool",
  8: "query",
} as const satisfies Record<IntentType, IntentTypeName>;

/** Kind of memory: names → numbers. */
export const MEMORY_TYPE = {
  /** Short-term */
  short: 0,
  /** Long-term */
  long: 1,
  /** Episodic */
  episodic: 2,
  /** Semantic */
  semantic: 3,
  /** Procedural */
  procedural: 4,
} as const;
export type MemoryTypeName = keyof typeof MEMORY_TYPE;
export type MemoryType = (typeof MEMORY_TYPE)[MemoryTypeName];
/** Kind of memory: numbers → names. */
export const MEMORY_TYPE_NAME = {
  0: "short",
  1: "long",
  2: "episodic",
  3: "semantic",
  4: "procedural",
} as const satisfies Record<MemoryType, MemoryTypeName>;

/** State of synchronization: names → numbers. */
export const SYNC_STATUS = {
  /** Fully synced */
  synced: 0,
  /** Sync pending */
  pending: 1,
  /** Conflict detected */
  conflict: 2,
  /** Sync error */
  error: 3,
  /** Marked for deletion */
  deleted: 4,
} as const;
export type SyncStatusName = keyof typeof SYNC_STATUS;
export type SyncStatus = (typeof SYNC_STATUS)[SyncStatusName];
/** State of synchronization: numbers → names. */
export const SYNC_STATUS_NAME = {
  0: "synced",
  1: "pending",
  2: "conflict",
  3: "error",
  4: "deleted",
} as const satisfies Record<SyncStatus, SyncStatusName>;
