//! The provider that needs no server. (To come.)
