//! Saved models made by hand: directories as Spark writes them, without Spark.

use super::{SparkOptions, import};
use crate::error::{Error, Result};
use crate::models::predictor::PredictorModel;
use crate::models::{RecommenderModel, Trained, TrainedModel, artefact};
use crate::storage::Storage;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Writes a stage to a directory.
pub(super) type Write<'a> = &'a dyn Fn(&Place, &str);

/// A warehouse to put saved models into.
pub(super) struct Place {
    directory: tempfile::TempDir,
    pub storage: Arc<Storage>,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), Vec::new()).unwrap();
        Self { directory, storage }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the metadata of a stage: a class of Spark without `org.apache.spark.ml.`, its parameters, and what the
    /// class writes beside them.
    pub fn metadata(&self, at: &str, class: &str, params: Value, more: Value) {
        let mut line = json!({
            "class": format!("org.apache.spark.ml.{class}"), "timestamp": 1_795_203_396_457_i64, "sparkVersion": "3.3.2",
            "uid": "uid", "paramMap": params, "defaultParamMap": {},
        });
        line.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.write(&format!("{at}/metadata/part-00000"), format!("{line}\n").as_bytes());
        self.write(&format!("{at}/metadata/_SUCCESS"), b"");
    }

    /// Writes a table of a stage.
    pub fn table(&self, at: &str, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.write(&format!("{at}/part-00000-1.snappy.parquet"), &bytes);
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, at: &str, bytes: &[u8]) {
        let path = self.path(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes a pipeline; each stage writes itself to the directory it is given.
    pub fn pipeline(&self, at: &str, stages: &[Write<'_>]) {
        let uids: Vec<String> = (0..stages.len()).map(|stage| format!("stage{stage}")).collect();
        self.metadata(at, "PipelineModel", json!({ "stageUids": uids }), json!({}));
        for (number, (stage, uid)) in stages.iter().zip(&uids).enumerate() {
            stage(self, &format!("{at}/stages/{number}_{uid}"));
        }
    }

    /// A StringIndexer over one column.
    pub fn indexer(&self, at: &str, (input, output): (&str, &str), labels: &[&str], invalid: &str) {
        let params = json!({ "inputCol": input, "outputCol": output, "handleInvalid": invalid });
        self.metadata(at, "feature.StringIndexerModel", params, json!({}));
        self.table(&format!("{at}/data"), vec![("labelsArray", nested(text_list(labels)))]);
    }

    /// Writes a VectorAssembler.
    pub fn assembler(&self, at: &str, inputs: &[&str], output: &str, invalid: &str) {
        let params = json!({ "inputCols": inputs, "outputCol": output, "handleInvalid": invalid });
        self.metadata(at, "feature.VectorAssembler", params, json!({}));
    }

    /// Imports a directory as model `m`.
    pub async fn import(&self, at: &str) -> Result<Trained> {
        import(&SparkOptions { model: "m".into(), model_path: at.into() }, &self.storage).await
    }

    /// Imports a predictor, writes it as an artefact, removes the directory and reads the artefact back.
    pub async fn predictor(&self, at: &str) -> Arc<PredictorModel> {
        match self.reread(at).await {
            TrainedModel::Predictor(model) => model,
            TrainedModel::Recommender(_) => panic!("{at} is a recommender"),
        }
    }

    /// The same for a recommender.
    pub async fn recommender(&self, at: &str) -> Arc<RecommenderModel> {
        match self.reread(at).await {
            TrainedModel::Recommender(model) => model,
            TrainedModel::Predictor(_) => panic!("{at} is a predictor"),
        }
    }

    async fn reread(&self, at: &str) -> TrainedModel {
        let trained = self.import(at).await.unwrap();
        let artefact = self.path(&format!("{at}_artefact/1"));
        artefact::write(&artefact, &trained.model, &trained.report, &trained.parameters).unwrap();
        std::fs::remove_dir_all(self.path(at)).unwrap();
        artefact::read(&artefact, "m").unwrap().0
    }

    /// The error of an import.
    pub async fn refused(&self, at: &str) -> Error {
        self.import(at).await.expect_err("the import succeeded")
    }
}

/// A column with one row.
pub(super) fn number(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn integer(value: i32) -> ArrayRef {
    Arc::new(Int32Array::from(vec![value]))
}

pub(super) fn flag(value: bool) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![value]))
}

/// One row: a list of these values.
pub(super) fn nested(values: ArrayRef) -> ArrayRef {
    lists(&[values.len()], values)
}

/// A row for each length.
pub(super) fn lists(lengths: &[usize], values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("element", values.data_type().clone(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths.iter().copied()), values, None))
}

/// One row: a list of texts.
pub(super) fn text_list(texts: &[&str]) -> ArrayRef {
    nested(Arc::new(StringArray::from(texts.to_vec())))
}

/// Vectors as Spark stores them: dense where there are no indices.
pub(super) fn vectors(rows: &[(Option<i32>, &[i32], &[f64])]) -> ArrayRef {
    let kinds: Int8Array = rows.iter().map(|(size, ..)| Some(i8::from(size.is_none()))).collect();
    let sizes: Int32Array = rows.iter().map(|(size, ..)| *size).collect();
    let indices: Int32Array = rows.iter().flat_map(|(_, indices, _)| *indices).copied().map(Some).collect();
    let values: Float64Array = rows.iter().flat_map(|(.., values)| *values).copied().map(Some).collect();
    let is_sparse: NullBuffer = rows.iter().map(|(size, ..)| size.is_some()).collect();
    let field = |data_type| Arc::new(Field::new("element", data_type, true));
    let index_lengths = OffsetBuffer::from_lengths(rows.iter().map(|(_, indices, _)| indices.len()));
    let indices = ListArray::new(field(DataType::Int32), index_lengths, Arc::new(indices), Some(is_sparse));
    let value_lengths = OffsetBuffer::from_lengths(rows.iter().map(|(.., values)| values.len()));
    let values = ListArray::new(field(DataType::Float64), value_lengths, Arc::new(values), None);
    let part = |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    Arc::new(StructArray::from(vec![
        part("type", Arc::new(kinds)),
        part("size", Arc::new(sizes)),
        part("indices", Arc::new(indices)),
        part("values", Arc::new(values)),
    ]))
}

/// One row: a dense vector.
pub(super) fn vector(values: &[f64]) -> ArrayRef {
    vectors(&[(None, &[], values)])
}

/// One row: a dense matrix, its values column by column unless transposed.
pub(super) fn matrix(n_rows: i32, n_columns: i32, values: &[f64], is_transposed: bool) -> ArrayRef {
    let part = |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let none: ArrayRef = Arc::new(ListArray::new_null(Arc::new(Field::new("element", DataType::Int32, true)), 1));
    Arc::new(StructArray::from(vec![
        part("type", Arc::new(Int8Array::from(vec![1i8]))),
        part("numRows", integer(n_rows)),
        part("numCols", integer(n_columns)),
        part("colPtrs", Arc::clone(&none)),
        part("rowIndices", none),
        part("values", nested(Arc::new(Float64Array::from(values.to_vec())))),
        part("isTransposed", flag(is_transposed)),
    ]))
}

/// A node of a tree in a fixture.
#[derive(Clone)]
pub(super) struct Node {
    pub tree: i32,
    pub id: i32,
    pub prediction: f64,
    pub stats: Vec<f64>,
    pub gain: f64,
    /// Left and right child, feature, threshold or categories, number of categories.
    pub split: Option<(i32, i32, i32, Vec<f64>, i32)>,
}

/// An inner node.
pub(super) fn inner(tree: i32, id: i32, children: (i32, i32), feature: i32, split: &[f64], n_categories: i32) -> Node {
    let split = Some((children.0, children.1, feature, split.to_vec(), n_categories));
    Node { tree, id, prediction: 0.0, stats: vec![6.0, 2.0], gain: 0.5, split }
}

pub(super) fn leaf(tree: i32, id: i32, prediction: f64, stats: &[f64]) -> Node {
    Node { tree, id, prediction, stats: stats.to_vec(), gain: -1.0, split: None }
}

/// The columns of a table of nodes: with `treeID` and `nodeData`, or of one tree alone.
pub(super) fn nodes(nodes: &[Node], is_ensemble: bool) -> Vec<(&'static str, ArrayRef)> {
    let integers = |of: &dyn Fn(&Node) -> i32| Arc::new(nodes.iter().map(|node| Some(of(node))).collect::<Int32Array>()) as ArrayRef;
    let doubles = |of: &dyn Fn(&Node) -> f64| Arc::new(nodes.iter().map(|node| Some(of(node))).collect::<Float64Array>()) as ArrayRef;
    let list = |of: &dyn Fn(&Node) -> Vec<f64>| {
        let rows: Vec<Vec<f64>> = nodes.iter().map(of).collect();
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        lists(&lengths, Arc::new(rows.into_iter().flatten().map(Some).collect::<Float64Array>()))
    };
    let part = |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let split = StructArray::from(vec![
        part("featureIndex", integers(&|node| node.split.as_ref().map_or(-1, |split| split.2))),
        part("leftCategoriesOrThreshold", list(&|node| node.split.as_ref().map_or(Vec::new(), |split| split.3.clone()))),
        part("numCategories", integers(&|node| node.split.as_ref().map_or(-1, |split| split.4))),
    ]);
    let data: Vec<(&'static str, ArrayRef)> = vec![
        ("id", integers(&|node| node.id)),
        ("prediction", doubles(&|node| node.prediction)),
        ("impurity", doubles(&|_| 0.5)),
        ("impurityStats", list(&|node| node.stats.clone())),
        ("gain", doubles(&|node| node.gain)),
        ("leftChild", integers(&|node| node.split.as_ref().map_or(-1, |split| split.0))),
        ("rightChild", integers(&|node| node.split.as_ref().map_or(-1, |split| split.1))),
        ("split", Arc::new(split)),
    ];
    if !is_ensemble {
        return data;
    }
    let data = StructArray::from(data.into_iter().map(|(name, array)| part(name, array)).collect::<Vec<_>>());
    vec![("treeID", integers(&|node| node.tree)), ("nodeData", Arc::new(data))]
}

/// The columns of `treesMetadata`.
pub(super) fn tree_weights(names: [&'static str; 3], weights: &[f64]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        (names[0], Arc::new((0..weights.len() as i32).map(Some).collect::<Int32Array>())),
        (names[1], Arc::new(StringArray::from(vec!["{}"; weights.len()]))),
        (names[2], Arc::new(Float64Array::from(weights.to_vec()))),
    ]
}
