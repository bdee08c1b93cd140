//! The one module that decides which types leave the server.
