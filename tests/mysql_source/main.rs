//! The MySQL and MariaDB source against real servers of both families.

mod support;
mod types;
