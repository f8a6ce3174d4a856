//! Scripted model server, fake workers, temporary repositories (tests only).
