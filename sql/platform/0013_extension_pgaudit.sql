-- Extension pgaudit: the audit log. Its library is preloaded by the node's settings.
create extension if not exists pgaudit schema ladder;
