//! The whole road, once.

mod check;
mod idle;
mod poll;

use crate::rows::Row;

/// Measures one after the other, so that none disturbs another.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = check::measure().await?;
    rows.extend(poll::measure().await?);
    rows.extend(idle::measure().await?);
    Ok(rows)
}
