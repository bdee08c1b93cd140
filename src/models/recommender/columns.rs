//! Which columns of a query are users, items and ratings.

use super::options::{DataSplit, FeedbackType, RecommenderOptions};
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use weir_functions::model::id_kind;

/// The places of the columns in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub user: usize,
    pub item: usize,
    /// `None`: every row counts 1 (implicit feedback only).
    pub rating: Option<usize>,
    /// What decides which rows are held out.
    pub split: Option<usize>,
}

impl Columns {
    /// Finds the columns named by the options. A role without a name takes the column that is called as Spark and BigQuery
    /// call it, and if there is none, in the order user, item, rating, the first column that is left; implicit feedback
    /// needs no rating.
    pub fn of_options(model: &str, options: &RecommenderOptions, schema: &Schema) -> Result<Self> {
        let split = match options.data_split.column() {
            Some(name) => Some(find(model, "data_split_col", name, schema)?),
            None => None,
        };
        let roles = [("user_col", &options.user_col), ("item_col", &options.item_col), ("rating_col", &options.rating_col)];
        let mut places: [Option<usize>; 3] = [None; 3];
        for (place, (option, name)) in places.iter_mut().zip(&roles) {
            if let Some(name) = name {
                *place = Some(find(model, option, name, schema)?);
            }
        }
        for (role, usual) in [&["user", "userid"][..], &["item", "itemid"], &["rating"]].into_iter().enumerate() {
            let is_usual = |place: &usize| usual.contains(&schema.field(*place).name().to_lowercase().replace('_', "").as_str());
            if places[role].is_none() {
                places[role] =
                    (0..schema.fields().len()).filter(|place| split != Some(*place) && !places.contains(&Some(*place))).find(is_usual);
            }
        }
        let is_left = |place: &usize| !places.contains(&Some(*place)) && split != Some(*place);
        let mut left = (0..schema.fields().len()).filter(is_left).collect::<Vec<_>>().into_iter();
        let mut take = |place: Option<usize>, option: &str| match place.or_else(|| left.next()) {
            Some(place) => Ok(place),
            None => {
                let what = format!("the training query of model \"{model}\" has no column for \"{option}\"");
                let but_split = split.map(|place| format!(", of which \"{}\" decides the split", schema.field(place).name()));
                let columns = format!("Its columns are {}{}.", names(schema), but_split.unwrap_or_default());
                let error = Error::new(Code::InvalidStatement, what).detail(columns);
                Err(error.hint("Select the users, the items and their ratings."))
            }
        };
        let (user, item) = (take(places[0], "user_col")?, take(places[1], "item_col")?);
        let rating = match take(places[2], "rating_col") {
            Err(_) if options.fit.feedback == FeedbackType::Implicit => None,
            rating => Some(rating?),
        };
        let columns = Self { user, item, rating, split };
        if user == item || rating == Some(item) || rating == Some(user) {
            let what = format!("two of the options user_col, item_col and rating_col of model \"{model}\" name the same column");
            return Err(Error::new(Code::InvalidParameter, what));
        }
        columns.check_types(model, schema)?;
        columns.check_split(model, &options.data_split, schema)?;
        Ok(columns)
    }

    /// Finds the columns of a trained model, by their names, in another query.
    pub fn of_model(model: &str, user: &str, item: &str, rating: Option<&str>, schema: &Schema) -> Result<Self> {
        let columns = Self {
            user: find(model, "user_col", user, schema)?,
            item: find(model, "item_col", item, schema)?,
            rating: rating.map(|rating| find(model, "rating_col", rating, schema)).transpose()?,
            split: None,
        };
        columns.check_types(model, schema)?;
        Ok(columns)
    }

    fn check_split(&self, model: &str, split: &DataSplit, schema: &Schema) -> Result<()> {
        let Some(field) = self.split.map(|place| schema.field(place)) else { return Ok(()) };
        let data_type = field.data_type();
        match split {
            DataSplit::Custom { .. } if !matches!(data_type, DataType::Boolean) => {
                Err(wrong_type(model, field, "a boolean").hint("TRUE holds a row out."))
            }
            DataSplit::Sequential { .. } if !(data_type.is_numeric() || data_type.is_temporal()) => {
                Err(wrong_type(model, field, "a time or a number"))
            }
            _ => Ok(()),
        }
    }

    fn check_types(&self, model: &str, schema: &Schema) -> Result<()> {
        check_id(model, schema.field(self.user))?;
        check_id(model, schema.field(self.item))?;
        let Some(rating) = self.rating.map(|place| schema.field(place)) else { return Ok(()) };
        if !is_number(rating.data_type()) {
            return Err(wrong_type(model, rating, "a number").hint(format!("CAST \"{}\" to DOUBLE.", rating.name())));
        }
        Ok(())
    }
}

/// The places of the user and the item column of a trained model, by their names, in another query.
///
/// # Errors
/// `UndefinedColumn`, and `InvalidStatement` for a column that cannot hold ids.
pub(super) fn user_and_item(model: &str, [user, item]: [&str; 2], schema: &Schema) -> Result<[usize; 2]> {
    let places = [find(model, "user_col", user, schema)?, find(model, "item_col", item, schema)?];
    places.iter().try_for_each(|place| check_id(model, schema.field(*place)))?;
    Ok(places)
}

fn check_id(model: &str, field: &Field) -> Result<()> {
    if id_kind(field.data_type()).is_some() {
        return Ok(());
    }
    Err(wrong_type(model, field, "an integer or a string").hint(format!("CAST \"{}\" to BIGINT or VARCHAR.", field.name())))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn wrong_type(model: &str, field: &Field, expected: &str) -> Error {
    let what = format!("column \"{}\" of the query for model \"{model}\" is of type {}, not {expected}", field.name(), field.data_type());
    Error::new(Code::InvalidStatement, what)
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field| format!("\"{}\"", field.name())).collect::<Vec<_>>().join(", ")
}

/// A column by name: exactly, else without regard to case.
fn find(model: &str, option: &str, name: &str, schema: &Schema) -> Result<usize> {
    let fields = schema.fields();
    if let Some(place) = fields.iter().position(|field| field.name() == name) {
        return Ok(place);
    }
    let mut matching = fields.iter().enumerate().filter(|(_, field)| field.name().eq_ignore_ascii_case(name)).map(|(place, _)| place);
    match (matching.next(), matching.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => {
            let what = format!("column \"{name}\" (\"{option}\" of model \"{model}\") is ambiguous");
            Err(Error::new(Code::InvalidStatement, what).detail(format!("The columns are {}.", names(schema))))
        }
        (None, _) => {
            let what = format!("the query for model \"{model}\" has no column \"{name}\" (\"{option}\")");
            let known = fields.iter().map(|field| field.name().as_str());
            Err(Error::unknown(Code::UndefinedColumn, what, name, known).detail(format!("Its columns are {}.", names(schema))))
        }
    }
}
