"""Saves Spark ML models, each with rows and Spark's own predictions of them.

    python tests/clients/spark_save.py OUTPUT TEST_DATA [--rows 2000] [--only NAME ...]

For each case `OUTPUT/<name>/` gets:

    model/      as Spark's `save` writes it: what weir imports
    rows/       Parquet: the columns that the model reads, with `row_id`, `spark_prediction` (DOUBLE), and where Spark
                has them `spark_label` (VARCHAR: the prediction in original labels), `spark_probability` (ARRAY<DOUBLE>);
                a row that Spark leaves out (handleInvalid 'skip') has NULL for all of them
    case.json   what spark_compare.py has to know

TEST_DATA is the directory with telco-churn, used-cars and ml-latest-small. Needs pyspark and Java 17.
"""

import argparse
import json
import os
import shutil
import sys
import time

from pyspark.ml import Pipeline
from pyspark.ml import classification, clustering, evaluation, feature, recommendation, regression, tuning
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

CASES = {}

TELCO_WORDS = ["gender", "Partner", "Dependents", "InternetService", "Contract", "PaymentMethod", "PaperlessBilling"]
TELCO_NUMBERS = ["SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"]
CAR_WORDS = ["model", "manufacturer", "transmission", "fuelType"]
CAR_NUMBERS = ["tax", "year", "mpg", "mileage"]


def case(function):
    CASES[function.__name__] = function
    return function


class Bench:
    """The session, the data, and how a case is written."""

    def __init__(self, arguments):
        self.spark = (
            SparkSession.builder.master("local[2]")
            .appName("spark_save")
            .config("spark.driver.memory", "2g")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            # Hundreds of jobs over few rows: what Spark prepares for long ones costs more than it saves.
            .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .getOrCreate()
        )
        self.spark.sparkContext.setLogLevel("ERROR")
        self.output, self.data, self.n_rows = arguments.output, arguments.data, arguments.rows
        self.cache = {}

    def rows(self, name, read):
        """Rows in one partition, numbered: `row_id`."""
        if name not in self.cache:
            frame = read().limit(self.n_rows).coalesce(1)
            frame = frame.withColumn("row_id", F.monotonically_increasing_id())
            self.cache[name] = frame.cache()
        return self.cache[name]

    def csv(self, *path):
        return self.spark.read.csv(os.path.join(self.data, *path), header=True, inferSchema=True, ignoreLeadingWhiteSpace=True)

    def telco(self):
        def read():
            frame = self.csv("telco-churn", "WA_Fn-UseC_-Telco-Customer-Churn.csv")
            # One blank in eleven rows: NULL.
            return frame.withColumn("TotalCharges", F.expr("try_cast(TotalCharges AS double)"))

        return self.rows("telco", read)

    def telco_whole(self):
        return self.telco().where("TotalCharges IS NOT NULL")

    def cars(self):
        def read():
            frames = [
                self.csv("used-cars", f"{brand}.csv").withColumn("manufacturer", F.lit(brand)).limit(self.n_rows // 2)
                for brand in ("audi", "bmw", "ford")
            ]
            frame = frames[0]
            for other in frames[1:]:
                frame = frame.unionByName(other)
            return frame.withColumn("price", F.col("price").cast(DoubleType())).orderBy(F.hash("mileage", "price"))

        return self.rows("cars", read)

    def save(self, name, model, rows, inputs, outputs, expected="prediction", **facts):
        """Writes a model and what it says of rows.

        `inputs`: columns read from the rows. `outputs`: maps `prediction`, `label`, `probability` to columns of the scored rows.
        """
        directory = os.path.join(self.output, name)
        shutil.rmtree(directory, ignore_errors=True)
        model.save(os.path.join(directory, "model"))
        scored = model.transform(rows)
        columns = [F.col("row_id")]
        if "prediction" in outputs:
            columns.append(F.col(outputs["prediction"]).cast("double").alias("spark_prediction"))
        if "label" in outputs:
            columns.append(F.col(outputs["label"]).cast("string").alias("spark_label"))
        if "probability" in outputs:
            columns.append(vector_to_array(F.col(outputs["probability"])).alias("spark_probability"))
        if "vector" in outputs:
            columns.append(vector_to_array(F.col(outputs["vector"])).alias("spark_vector"))
        given = [F.col("row_id")]
        for column in dict.fromkeys(inputs):
            vector = dict(rows.dtypes)[column] == "vector"
            given.append(vector_to_array(F.col(column)).alias(column) if vector else F.col(column))
        joined = rows.select(given).join(scored.select(columns), "row_id", "left").orderBy("row_id").coalesce(1)
        joined.write.parquet(os.path.join(directory, "rows"))
        with open(os.path.join(directory, "case.json"), "w", encoding="utf-8") as file:
            json.dump({"name": name, "expected": expected, "outputs": sorted(outputs), **facts}, file, indent=1)


def words(names, label=None, handle_invalid="error"):
    """An indexer of many columns, and of the label."""
    stages = [feature.StringIndexer(inputCols=names, outputCols=[f"{name}_idx" for name in names], handleInvalid=handle_invalid)]
    if label:
        stages.append(feature.StringIndexer(inputCol=label, outputCol="label"))
    return stages


def assemble(columns, output="features", handle_invalid="error"):
    return feature.VectorAssembler(inputCols=columns, outputCol=output, handleInvalid=handle_invalid)


CLASS = {"prediction": "prediction", "probability": "probability"}


@case
def telco_forest(bench):
    """The churn pipeline: indices and one-hot words, a forest, the label back as a word."""
    rows = bench.telco_whole()
    stages = words(TELCO_WORDS, "Churn") + [
        feature.OneHotEncoder(inputCols=["PaymentMethod_idx", "Contract_idx"], outputCols=["PaymentMethod_hot", "Contract_hot"]),
        assemble([f"{name}_idx" for name in TELCO_WORDS[:4]] + ["PaymentMethod_hot", "Contract_hot"] + TELCO_NUMBERS),
        classification.RandomForestClassifier(numTrees=20, maxDepth=8, seed=42),
    ]
    model = Pipeline(stages=stages).fit(rows)
    bench.save("telco_forest", model, rows, TELCO_WORDS + TELCO_NUMBERS + ["Churn"], CLASS, label="Churn")


@case
def telco_forest_converted(bench):
    """With IndexToString at the end, and the rows without their label."""
    rows = bench.telco_whole()
    indexer = feature.StringIndexer(inputCol="Churn", outputCol="label").fit(rows)
    stages = words(TELCO_WORDS) + [
        indexer,
        assemble([f"{name}_idx" for name in TELCO_WORDS] + TELCO_NUMBERS),
        classification.RandomForestClassifier(numTrees=10, maxDepth=5, seed=42),
        feature.IndexToString(inputCol="prediction", outputCol="predicted", labels=indexer.labels),
    ]
    model = Pipeline(stages=stages).fit(rows)
    bench.save("telco_forest_converted", model, rows, TELCO_WORDS + TELCO_NUMBERS + ["Churn"], {**CLASS, "label": "predicted"}, label="Churn")


@case
def telco_boosted(bench):
    rows = bench.telco_whole()
    stages = words(TELCO_WORDS, "Churn") + [
        assemble([f"{name}_idx" for name in TELCO_WORDS] + TELCO_NUMBERS),
        classification.GBTClassifier(maxIter=8, maxDepth=4, seed=1),
    ]
    bench.save("telco_boosted", Pipeline(stages=stages).fit(rows), rows, TELCO_WORDS + TELCO_NUMBERS + ["Churn"], CLASS, label="Churn")


@case
def telco_tree(bench):
    """One tree over indices and the VectorIndexer; thresholds move the decision."""
    rows = bench.telco_whole()
    stages = words(TELCO_WORDS, "Churn") + [
        assemble([f"{name}_idx" for name in TELCO_WORDS] + TELCO_NUMBERS, "raw"),
        feature.VectorIndexer(inputCol="raw", outputCol="features", maxCategories=5, handleInvalid="keep"),
        classification.DecisionTreeClassifier(maxDepth=6).setThresholds([0.7, 0.3]),
    ]
    bench.save("telco_tree", Pipeline(stages=stages).fit(rows), rows, TELCO_WORDS + TELCO_NUMBERS + ["Churn"], CLASS, label="Churn")


@case
def telco_logistic(bench):
    """Binomial, with a threshold, scaled to 0..1, missing values filled in by the mean."""
    rows = bench.telco()
    stages = words(TELCO_WORDS, "Churn", "keep") + [
        feature.OneHotEncoder(inputCols=[f"{name}_idx" for name in TELCO_WORDS], outputCols=[f"{name}_hot" for name in TELCO_WORDS], handleInvalid="keep"),
        feature.Imputer(inputCols=["MonthlyCharges", "TotalCharges"], outputCols=["monthly", "total"], strategy="mean"),
        assemble([f"{name}_hot" for name in TELCO_WORDS] + ["SeniorCitizen", "tenure", "monthly", "total"], "raw"),
        feature.MinMaxScaler(inputCol="raw", outputCol="features", min=-1.0, max=1.0),
        classification.LogisticRegression(maxIter=20, regParam=0.01, threshold=0.3),
    ]
    bench.save("telco_logistic", Pipeline(stages=stages).fit(rows), rows, TELCO_WORDS + TELCO_NUMBERS + ["Churn"], CLASS, label="Churn")


@case
def telco_multinomial(bench):
    """Three classes in original words, with thresholds."""
    rows = bench.telco_whole()
    stages = words(["gender", "PaymentMethod"], "Contract") + [
        assemble(["gender_idx", "PaymentMethod_idx"] + TELCO_NUMBERS, "raw"),
        feature.StandardScaler(inputCol="raw", outputCol="features", withMean=True, withStd=True),
        classification.LogisticRegression(maxIter=20, regParam=0.01, thresholds=[0.5, 0.3, 0.2]),
    ]
    bench.save("telco_multinomial", Pipeline(stages=stages).fit(rows), rows, ["gender", "PaymentMethod"] + TELCO_NUMBERS + ["Contract"], CLASS, label="Contract")


@case
def telco_invalid(bench):
    """Trained on few rows, asked about words and numbers that it does not know: 'keep' and 'skip'."""
    rows = bench.telco()
    few = rows.where("TotalCharges IS NOT NULL AND PaymentMethod <> 'Mailed check' AND Contract <> 'Two year'")
    stages = [
        feature.StringIndexer(inputCols=["PaymentMethod", "gender"], outputCols=["pay_idx", "gender_idx"], handleInvalid="keep", stringOrderType="alphabetAsc"),
        feature.StringIndexer(inputCol="Contract", outputCol="contract_idx", handleInvalid="skip"),
        feature.Bucketizer(splits=[0.0, 12.0, 24.0, 48.0, float("inf")], inputCol="tenure", outputCol="tenure_bucket", handleInvalid="keep"),
        feature.Bucketizer(splitsArray=[[0.0, 50.0, 120.0], [-float("inf"), 200.0, float("inf")]], inputCols=["MonthlyCharges", "TotalCharges"], outputCols=["monthly_bucket", "total_bucket"], handleInvalid="keep"),
        feature.OneHotEncoder(inputCols=["pay_idx", "tenure_bucket"], outputCols=["pay_hot", "tenure_hot"], dropLast=False, handleInvalid="keep"),
        assemble(["pay_hot", "gender_idx", "contract_idx", "tenure_hot", "monthly_bucket", "total_bucket"], handle_invalid="keep"),
        regression.LinearRegression(labelCol="MonthlyCharges", regParam=0.1, elasticNetParam=0.5),
    ]
    bench.save("telco_invalid", Pipeline(stages=stages).fit(few), rows, ["PaymentMethod", "gender", "Contract", "tenure", "MonthlyCharges", "TotalCharges"], {"prediction": "prediction"}, label="MonthlyCharges")


@case
def telco_assembler_keep(bench):
    """NULL becomes NaN in the vector: trees send it to the right."""
    rows = bench.telco()
    stages = [
        assemble(TELCO_NUMBERS, handle_invalid="keep"),
        regression.DecisionTreeRegressor(labelCol="MonthlyCharges", maxDepth=4),
    ]
    model = Pipeline(stages=stages).fit(bench.telco_whole())
    bench.save("telco_assembler_keep", model, rows, TELCO_NUMBERS, {"prediction": "prediction"}, label="MonthlyCharges")


@case
def telco_assembler_skip(bench):
    rows = bench.telco()
    stages = [
        assemble(["SeniorCitizen", "tenure", "TotalCharges"], handle_invalid="skip"),
        regression.LinearRegression(labelCol="MonthlyCharges"),
    ]
    model = Pipeline(stages=stages).fit(rows)
    bench.save("telco_assembler_skip", model, rows, TELCO_NUMBERS, {"prediction": "prediction"}, label="MonthlyCharges")


@case
def cars_poisson(bench):
    rows = bench.cars()
    stages = words(CAR_WORDS) + [
        assemble([f"{name}_idx" for name in CAR_WORDS] + CAR_NUMBERS),
        regression.GeneralizedLinearRegression(family="poisson", link="log", labelCol="price", linkPredictionCol="eta"),
    ]
    bench.save("cars_poisson", Pipeline(stages=stages).fit(rows), rows, CAR_WORDS + CAR_NUMBERS + ["price"], {"prediction": "prediction"}, label="price")


GLM = [
    ("gaussian", "identity", {}),
    ("gaussian", "log", {}),
    ("gaussian", "inverse", {}),
    ("binomial", "logit", {}),
    ("binomial", "probit", {}),
    ("binomial", "cloglog", {}),
    ("poisson", "sqrt", {}),
    ("poisson", "identity", {}),
    ("gamma", "inverse", {}),
    ("gamma", "log", {}),
    ("gamma", "identity", {}),
    ("tweedie", None, {"variancePower": 1.5, "linkPower": 0.5}),
    ("tweedie", None, {"variancePower": 1.2}),
    ("tweedie", None, {"variancePower": 1.6, "linkPower": 0.0}),
]


@case
def generalized(bench):
    """Every family with every link, with an offset in one; bare models over an assembled vector."""
    rows = bench.cars().withColumn("dear", (F.col("price") > 15000).cast("double")).withColumn("age", F.lit(2021) - F.col("year"))
    rows = rows.withColumn("thousands", F.col("price") / 1000).withColumn("exposure", F.log(F.col("engineSize") + 1))
    rows = assemble(["age", "mpg"]).transform(rows.where("age >= 0 AND age < 15 AND mpg < 100"))
    for number, (family, link, more) in enumerate(GLM):
        name = f"glm_{family}_{link or 'power' + str(number)}"
        label = "dear" if family == "binomial" else "thousands"
        estimator = regression.GeneralizedLinearRegression(family=family, labelCol=label, maxIter=10, regParam=0.001, **more)
        if link:
            estimator.setLink(link)
        inputs = ["features", label]
        if (family, link) == ("gaussian", "log"):
            estimator.setOffsetCol("exposure")
            inputs.append("exposure")
        bench.save(name, estimator.fit(rows), rows, inputs, {"prediction": "prediction"}, label=label)


@case
def cars_trees(bench):
    """Regressors of every kind of tree, over categorical indices of many values."""
    rows = bench.cars()
    before = words(CAR_WORDS) + [assemble([f"{name}_idx" for name in CAR_WORDS] + CAR_NUMBERS)]
    prepared = Pipeline(stages=before).fit(rows)
    vectors = prepared.transform(rows)
    estimators = {
        "cars_tree": regression.DecisionTreeRegressor(labelCol="price", maxDepth=7, maxBins=128),
        "cars_forest": regression.RandomForestRegressor(labelCol="price", numTrees=8, maxDepth=7, maxBins=128, seed=7),
        "cars_boosted": regression.GBTRegressor(labelCol="price", maxIter=6, maxDepth=4, maxBins=128, seed=7),
    }
    for name, estimator in estimators.items():
        model = Pipeline(stages=before + [estimator]).fit(rows)
        bench.save(name, model, rows, CAR_WORDS + CAR_NUMBERS + ["price"], {"prediction": "prediction"}, label="price")
    # A bare forest.
    bench.save("bare_forest", estimators["cars_forest"].fit(vectors), vectors, ["features", "price"], {"prediction": "prediction"}, label="price")


@case
def cars_scalers(bench):
    """Max-abs, robust and standard scalers in a row, a normaliser, a linear regression; chosen by cross validation."""
    rows = bench.cars().withColumn("mileage", F.col("mileage").cast("double"))
    stages = [
        feature.Imputer(inputCols=["mpg", "engineSize", "tax"], outputCols=["mpg_full", "engine_full", "tax_full"], missingValue=0.0),
        feature.Binarizer(inputCol="mileage", outputCol="used", threshold=10000.0),
        assemble(["mpg_full", "engine_full", "tax_full", "year", "mileage", "used"], "raw"),
        feature.MaxAbsScaler(inputCol="raw", outputCol="first"),
        feature.RobustScaler(inputCol="first", outputCol="second", withCentering=True),
        feature.StandardScaler(inputCol="second", outputCol="third"),
        feature.Normalizer(inputCol="third", outputCol="fourth", p=2.0),
        assemble(["third", "fourth"], "features"),
        regression.LinearRegression(labelCol="price", regParam=0.1),
    ]
    grid = tuning.ParamGridBuilder().addGrid(stages[-1].regParam, [0.1, 10.0]).build()
    search = tuning.CrossValidator(
        estimator=Pipeline(stages=stages), estimatorParamMaps=grid, evaluator=evaluation.RegressionEvaluator(labelCol="price"), numFolds=2, seed=3
    )
    bench.save("cars_scalers", search.fit(rows), rows, ["mpg", "engineSize", "tax", "year", "mileage", "price"], {"prediction": "prediction"}, label="price")


@case
def clusters(bench):
    rows = assemble(["tenure", "MonthlyCharges", "TotalCharges"]).transform(bench.telco_whole())
    for measure in ("euclidean", "cosine"):
        model = clustering.KMeans(k=5, seed=1, distanceMeasure=measure, maxIter=10).fit(rows)
        bench.save(f"kmeans_{measure}", model, rows, ["features"], {"prediction": "prediction"}, expected="cluster")
    stages = [assemble(["tenure", "MonthlyCharges"]), clustering.KMeans(k=4, seed=2)]
    model = Pipeline(stages=stages).fit(bench.telco_whole())
    bench.save("kmeans_pipeline", model, bench.telco_whole(), ["tenure", "MonthlyCharges"], {"prediction": "prediction"}, expected="cluster")


@case
def bare(bench):
    """Models without a pipeline, over a vector column; three classes."""
    rows = assemble(["tenure", "MonthlyCharges", "TotalCharges"]).transform(bench.telco_whole())
    rows = rows.withColumn("label", (F.col("tenure") % 3).cast("double")).withColumn("twice", F.col("tenure") / 2)
    rows = rows.withColumn("two", F.when(F.col("Churn") == "Yes", 1.0).otherwise(0.0))
    bench.save("bare_linear", regression.LinearRegression(labelCol="twice", regParam=0.1).fit(rows), rows, ["features", "twice"], {"prediction": "prediction"}, label="twice")
    bench.save("bare_huber", regression.LinearRegression(labelCol="twice", loss="huber", regParam=0.1).fit(rows), rows, ["features", "twice"], {"prediction": "prediction"}, label="twice")
    bench.save("bare_logistic", classification.LogisticRegression(labelCol="two").fit(rows), rows, ["features", "two"], CLASS, label="two")
    bench.save("bare_multinomial", classification.LogisticRegression(maxIter=10).fit(rows), rows, ["features", "label"], CLASS, label="label")
    bench.save("bare_tree", classification.DecisionTreeClassifier(maxDepth=4).fit(rows), rows, ["features", "label"], CLASS, label="label")
    bench.save("bare_boosted", classification.GBTClassifier(labelCol="two", maxIter=4, maxDepth=3).fit(rows), rows, ["features", "two"], CLASS, label="two")
    for kind in ("multinomial", "gaussian", "complement"):
        model = classification.NaiveBayes(modelType=kind).fit(rows)
        bench.save(f"bare_bayes_{kind}", model, rows, ["features", "label"], CLASS, label="label")


@case
def recommender(bench):
    ratings = bench.csv("ml-latest-small", "ratings.csv").cache()
    als = recommendation.ALS(rank=10, maxIter=5, regParam=0.1, nonnegative=True, userCol="userId", itemCol="movieId", ratingCol="rating", coldStartStrategy="nan", seed=11, numUserBlocks=2, numItemBlocks=2)
    model = als.fit(ratings)
    rows = bench.rows("ratings", lambda: ratings.select("userId", "movieId", "rating"))
    bench.save("als", model, rows, ["userId", "movieId", "rating"], {"prediction": "prediction"}, expected="rating", users="userId", items="movieId", label="rating")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("data")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    unknown = set(arguments.only) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    bench = Bench(arguments)
    failed = []
    for name, function in CASES.items():
        if arguments.only and name not in arguments.only:
            continue
        begun = time.monotonic()
        try:
            function(bench)
        except Exception as error:  # noqa: BLE001 - the other cases are still worth having
            failed.append(name)
            print(f"could not save {name}: {error}", flush=True)
        else:
            print(f"saved {name} in {time.monotonic() - begun:.1f} s", flush=True)
    bench.spark.stop()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
