-- Extension vector: embeddings and their indexes. Not trusted, so the application cannot create it; in public, where applications expect it.
create extension if not exists vector schema public;
