//! How far CREATE MODEL is: asked of the server while the statement runs, for the progress line.

use super::client::Client;
use super::failure::Failure;
use super::print;
use crate::parser::{self, Statement};
use futures::TryStreamExt;

/// The query about the run of a statement that trains; `None` for other statements.
pub fn watch(sql: &str) -> Option<String> {
    let Ok(Statement::CreateModel(create)) = parser::parse_one(sql) else { return None };
    let model = create.name.0.last()?.replace('\'', "''");
    Some(format!(
        "SELECT phase, \"rows\", iteration, iterations_max, loss, metric, metric_value FROM system.model_runs \
         WHERE state = 'running' AND user_name = current_user AND lower(model_name) = lower('{model}') ORDER BY started DESC LIMIT 1"
    ))
}

/// What the line says; `None` when the server has nothing to tell, which is no failure of the statement.
pub async fn note(client: Client, sql: String) -> Option<String> {
    let row = row(&client, &sql).await.ok().flatten()?;
    let [phase, rows, iteration, iterations_max, loss, metric, metric_value] = row.as_slice() else { return None };
    Some(line(&[phase, rows, iteration, iterations_max, loss, metric, metric_value].map(Option::as_deref)))
}

async fn row(client: &Client, sql: &str) -> Result<Option<print::Row>, Failure> {
    let prepared = client.prepare(sql).await?;
    let info = client.info(&prepared).await?;
    let mut row = None;
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        let mut stream = client.rows(ticket).await?;
        while let Some(batch) = stream.try_next().await? {
            if row.is_none() && batch.num_rows() > 0 {
                row = Some(print::Cells::new(&batch)?.row(0)?);
            }
        }
    }
    client.close(prepared).await;
    Ok(row)
}

fn line([phase, rows, iteration, iterations_max, loss, metric, metric_value]: &[Option<&str>; 7]) -> String {
    let shortened = |number: &str| number.parse::<f64>().map_or_else(|_| number.to_owned(), |number| format!("{number:.4}"));
    let mut parts = vec![phase.unwrap_or("training").to_owned()];
    match (iteration.unwrap_or("0"), iterations_max.unwrap_or("0")) {
        (_, "0") => parts.extend(rows.filter(|rows| *rows != "0").map(|rows| format!("{rows} rows read"))),
        (iteration, of) => parts.push(format!("iteration {iteration} of {of}")),
    }
    parts.extend(loss.map(|loss| format!("loss {}", shortened(loss))));
    parts.extend(metric.zip(*metric_value).map(|(metric, value)| format!("{metric} {}", shortened(value))));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_training_is_watched() {
        for sql in ["SELECT 1", "CREATE TABLE t (a INT)", "DROP MODEL m", "CREATE MODEL"] {
            assert_eq!(watch(sql), None, "{sql}");
        }
        let query = watch("create or replace model db.\"It's\" options (model_type='als') as select 1").unwrap();
        assert!(query.contains("lower('It''s')"), "{query}");
        assert!(parser::parse_one(&query).is_ok(), "{query}");
    }

    #[test]
    fn the_line_says_what_is_known() {
        let none = None;
        assert_eq!(line(&[Some("reading"), Some("1200"), Some("0"), Some("0"), none, none, none]), "reading, 1200 rows read");
        let row = [Some("trial 2 of 6"), Some("9"), Some("3"), Some("10"), Some("0.123456"), Some("rmse"), Some("0.87512")];
        assert_eq!(line(&row), "trial 2 of 6, iteration 3 of 10, loss 0.1235, rmse 0.8751");
    }
}
