//! The numbers of scikit-learn 1.9.1 (numpy 2.4, scipy 1.17) on the same rows.
//!
//! ```python
//! i = np.arange(40); x1 = (i*7 % 11)/2.; x2 = ((i*i) % 13) - 6.; x3 = np.sin(i)*100.; X = np.c_[x1, x2, x3]
//! y = 3 + 0.8*x1 - 0.3*x2 + 0.01*x3 + np.cos(3*i); w = 1. + i % 3
//! yp = np.floor(np.exp(0.2*x1 - 0.1*x2 + 0.003*x3) + i % 2)
//! yg = np.exp(0.2*x1 - 0.1*x2 + 0.003*x3) * (1 + (i % 5)/5)
//! b = ((y + np.cos(5*i)*2) > 4.5).astype(int); k = np.digitize(y + np.cos(5*i), [3.5, 6])
//! LinearRegression().fit(X, y, w); Ridge(alpha=5., solver='cholesky').fit(X, y, w)   # also fit_intercept=False
//! ElasticNet(alpha=0.3, l1_ratio=0.5, tol=1e-14, max_iter=1000000).fit(X, y)         # also alpha=1, l1_ratio=1
//! PoissonRegressor(alpha=0., tol=1e-12, solver='newton-cholesky').fit(X, yp, w)      # also alpha=0.1
//! GammaRegressor(alpha=0., tol=1e-12, solver='newton-cholesky').fit(X, yg)
//! LogisticRegression(C=0.5, tol=1e-12, solver='newton-cholesky', class_weight='balanced').fit(X, b)
//! LogisticRegression(C=1., tol=1e-10, max_iter=100000).fit((X - X.mean(0))/X.std(0), k)
//! # standard errors and p-values: numpy inverses of A'WA and scipy.stats.t(36), norm
//! # gamma with inverse link: 200 steps of Fisher scoring in numpy on yi = (1 + (i % 5)/10) / (0.5 + 0.05*x1 + 0.02*(x2+6))
//! ```

use super::tests::control;
use super::*;
use crate::frame::{Column, Frame};

pub(crate) struct Rows {
    pub(crate) frame: Frame,
    pub(crate) x: [Vec<f64>; 3],
    pub(crate) y: Vec<f64>,
    pub(crate) w: Vec<f64>,
    pub(crate) classes: Vec<u32>,
}

pub(crate) fn rows() -> Rows {
    let of = |value: &dyn Fn(f64) -> f64| (0..40).map(|i| value(f64::from(i))).collect::<Vec<f64>>();
    let x = [of(&|i| (i * 7.0 % 11.0) / 2.0), of(&|i| (i * i) % 13.0 - 6.0), of(&|i| i.sin() * 100.0)];
    let y: Vec<f64> = (0..40).map(|i| 3.0 + 0.8 * x[0][i] - 0.3 * x[1][i] + 0.01 * x[2][i] + (3.0 * i as f64).cos()).collect();
    let class = |(i, y): (usize, &f64)| {
        let noisy = y + (5.0 * i as f64).cos();
        u32::from(noisy >= 3.5) + u32::from(noisy >= 6.0)
    };
    let classes = y.iter().enumerate().map(class).collect();
    let frame = Frame::new(40, x.iter().map(|column| Column::Numeric(column.clone())).collect()).unwrap();
    Rows { frame, x, y, w: of(&|i| 1.0 + i % 3.0), classes }
}

#[track_caller]
pub(crate) fn close(values: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(values.len(), expected.len());
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= tolerance * expected.abs().max(1e-3), "{values:?}, not {expected}");
    }
}

#[track_caller]
fn check(model: &LinearModel, expected: [f64; 4], tolerance: f64) {
    close(&[&[model.intercept], &model.coefficients[..]].concat(), &expected, tolerance);
}

#[test]
fn least_squares_with_its_errors() {
    let rows = rows();
    let model = LinearRegression::default().fit(&rows.frame, &rows.y, Some(&rows.w), &control(1)).unwrap();
    check(&model, [3.070_835_372_048_416_7, 0.778_398_514_327_292_9, -0.299_573_777_735_738_2, 0.008_668_940_873_517_772], 1e-10);
    close(&[model.fit.deviance], &[35.269_904_576_460_08], 1e-12);
    let weights = model.weights();
    let errors: Vec<f64> = weights.iter().map(|weight| weight.standard_error.unwrap()).collect();
    close(&errors, &[0.208_605_629_844_652, 0.071_613_536_077_734_19, 0.026_338_409_589_777_935, 0.001_562_610_124_015_793_8], 1e-10);
    let p_values: Vec<f64> = weights.iter().map(|weight| weight.p_value.unwrap()).collect();
    let expected = [8.294_398_689_084_768e-17, 6.395_115_159_197_191e-13, 1.787_530_891_624_766_3e-13, 2.796_295_857_229_917_7e-6];
    p_values.iter().zip(expected).for_each(|(value, expected)| assert!((value / expected - 1.0).abs() < 1e-8, "{value}"));
}

#[test]
fn ridge_in_the_scalings_of_others() {
    let rows = rows();
    let fit = |regularisation, fit_intercept| {
        let learner = LinearRegression { regularisation, fit_intercept, ..Default::default() };
        learner.fit(&rows.frame, &rows.y, Some(&rows.w), &control(1)).unwrap()
    };
    let expected = [3.119_094_306_375_13, 0.758_823_791_595_814_5, -0.299_239_624_228_280_2, 0.008_697_081_221_240_084];
    check(&fit(Regularisation::ridge(5.0), true), expected, 1e-10);
    let mean = Regularisation { l1: 0.0, l2: 5.0 / rows.w.iter().sum::<f64>(), scaling: Scaling::Mean };
    check(&fit(mean, true), expected, 1e-10);
    let expected = [0.0, 1.657_184_382_875_369_2, -0.269_502_960_991_746_14, 0.008_182_275_403_172_72];
    check(&fit(Regularisation::ridge(5.0), false), expected, 1e-10);
}

#[test]
fn elastic_net_and_lasso() {
    let rows = rows();
    let fit = |l1, l2| {
        let learner = LinearRegression { regularisation: Regularisation { l1, l2, scaling: Scaling::Mean }, ..Default::default() };
        learner.fit(&rows.frame, &rows.y, None, &control(1)).unwrap()
    };
    let expected = [3.338_255_008_873_364_5, 0.668_228_738_791_140_6, -0.287_283_023_560_961_2, 0.009_726_782_833_264_374];
    check(&fit(0.15, 0.15), expected, 1e-7);
    let expected = [4.066_731_184_805_66, 0.381_948_561_951_691_1, -0.246_891_874_002_534_85, 0.009_879_395_335_166_683];
    check(&fit(1.0, 0.0), expected, 1e-7);
    let all_zero = fit(1e6, 0.0);
    assert_eq!(all_zero.coefficients, [0.0; 3]);
    close(&[all_zero.intercept], &[rows.y.iter().sum::<f64>() / 40.0], 1e-12);
}

#[test]
fn poisson_with_its_errors() {
    let rows = rows();
    let target = |i: usize| (0.2 * rows.x[0][i] - 0.1 * rows.x[1][i] + 0.003 * rows.x[2][i]).exp() + (i % 2) as f64;
    let counts: Vec<f64> = (0..40).map(|i| target(i).floor()).collect();
    let mut learner = GeneralisedLinearRegression::of(Family::Poisson);
    let model = learner.fit(&rows.frame, &counts, Some(&rows.w), None, &control(1)).unwrap();
    check(&model, [-0.088_315_989_152_368_75, 0.238_693_323_950_142_37, -0.101_201_979_351_930_54, 0.001_935_249_274_223_531_7], 1e-9);
    close(&[model.fit.deviance], &[25.923_127_561_738_2], 1e-10);
    let errors = model.fit.standard_errors.clone().unwrap();
    close(&[errors.intercept], &[0.180_490_896_387_898_17], 1e-8);
    close(&errors.coefficients, &[0.051_938_215_285_012_83, 0.021_103_476_814_705_483, 0.001_160_058_895_803_603_9], 1e-8);
    close(&[model.weights()[3].p_value.unwrap()], &[0.095_269_355_389_266_77], 1e-8);
    learner.regularisation = Regularisation { l1: 0.0, l2: 0.1, scaling: Scaling::Mean };
    let model = learner.fit(&rows.frame, &counts, Some(&rows.w), None, &control(1)).unwrap();
    check(&model, [-0.073_100_735_101_808_21, 0.233_838_667_097_691_24, -0.101_123_564_366_729_73, 0.001_949_752_318_415_384_2], 1e-7);
    // An offset of all rows is the intercept.
    let model = learner.fit(&rows.frame, &counts, Some(&rows.w), Some(&[0.5; 40]), &control(1)).unwrap();
    check(&model, [-0.573_100_735_101_808_2, 0.233_838_667_097_691_24, -0.101_123_564_366_729_73, 0.001_949_752_318_415_384_2], 1e-7);
}

#[test]
fn gamma_with_both_links() {
    let rows = rows();
    let target = |i: usize| (0.2 * rows.x[0][i] - 0.1 * rows.x[1][i] + 0.003 * rows.x[2][i]).exp() * (1.0 + (i % 5) as f64 / 5.0);
    let targets: Vec<f64> = (0..40).map(target).collect();
    let model = GeneralisedLinearRegression::of(Family::GammaLog).fit(&rows.frame, &targets, None, None, &control(1)).unwrap();
    check(&model, [0.296_793_869_969_020_6, 0.214_917_259_053_668_2, -0.098_850_531_267_110_59, 0.003_471_842_464_241_073_7], 1e-7);
    let frame = Frame::new(40, rows.frame.columns()[..2].to_vec()).unwrap();
    let target = |i: usize| (1.0 + (i % 5) as f64 / 10.0) / (0.5 + 0.05 * rows.x[0][i] + 0.02 * (rows.x[1][i] + 6.0));
    let targets: Vec<f64> = (0..40).map(target).collect();
    let model = GeneralisedLinearRegression::of(Family::GammaInverse).fit(&frame, &targets, None, None, &control(1)).unwrap();
    let fitted = [model.intercept, model.coefficients[0], model.coefficients[1], model.fit.dispersion.unwrap()];
    close(&fitted, &[0.531_279_666_890_241_8, 0.035_403_722_398_231_07, 0.016_266_077_037_432_52, 0.014_667_758_988_283_845], 1e-7);
}

#[test]
fn logistic_regression_of_two_and_three_classes() {
    let rows = rows();
    let label = |(i, y): (usize, &f64)| u32::from(y + (5.0 * i as f64).cos() * 2.0 > 4.5);
    let labels: Vec<u32> = rows.y.iter().enumerate().map(label).collect();
    let learner =
        LogisticRegression { regularisation: Regularisation::ridge(2.0), class_weights: ClassWeights::Balanced, ..Default::default() };
    let model = learner.fit(&rows.frame, &labels, 2, None, &control(1)).unwrap();
    close(&model.intercepts, &[-0.841_053_849_265_309], 1e-7);
    close(&model.coefficients, &[0.461_307_859_747_588_1, -0.382_999_806_468_850_5, 0.010_777_580_049_177_272], 1e-7);
    // Three classes, on features that scikit-learn had standardised.
    let standardised = |column: &Vec<f64>| {
        let mean = column.iter().sum::<f64>() / 40.0;
        let deviation = (column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 40.0).sqrt();
        Column::Numeric(column.iter().map(|value| (value - mean) / deviation).collect())
    };
    let frame = Frame::new(40, rows.x.iter().map(standardised).collect()).unwrap();
    let learner = LogisticRegression { tolerance: 1e-14, ..Default::default() };
    let model = learner.fit(&frame, &rows.classes, 3, None, &control(1)).unwrap();
    close(&model.intercepts, &[-0.663_240_254_106_385_9, 0.808_892_402_043_425, -0.145_652_147_937_039_12], 1e-5);
    let expected = [
        -1.148_993_372_309_437_7,
        1.168_568_772_937_383,
        -0.156_453_095_968_936_1,
        0.317_744_193_913_408_86,
        0.476_069_725_873_545_46,
        -0.320_484_632_017_995_45,
        0.831_249_178_396_028_6,
        -1.644_638_498_810_928_8,
        0.476_937_727_986_930_94,
    ];
    close(&model.coefficients, &expected, 1e-5);
    let probabilities = model.probabilities(&frame.take(&[0, 1])).unwrap();
    let expected = [
        0.181_712_609_549_680_3,
        0.204_864_480_998_667_33,
        0.613_422_909_451_652_3,
        0.003_355_120_910_625_730_3,
        0.064_387_924_915_354_42,
        0.932_256_954_174_019_9,
    ];
    close(&probabilities, &expected, 1e-5);
}

#[test]
fn penalties_in_the_scaling_of_spark() {
    // pyspark 4 on the same rows: LinearRegression(weightCol="w", regParam=0.3, elasticNetParam=0 | 0.5 | 1, tol=1e-12),
    // LogisticRegression(regParam=0.1, tol=1e-12) on b and on k, GeneralizedLinearRegression(family="poisson").
    let rows = rows();
    let expected = [
        (0.0, [3.287_962_069_293_083_5, 0.692_421_215_097_989, -0.266_569_987_397_343_5, 0.007_863_787_745_990_959]),
        (0.5, [3.384_657_462_897_716, 0.655_214_351_957_514_5, -0.254_629_626_116_815_94, 0.006_537_732_769_280_807]),
        (1.0, [3.492_836_406_487_960_7, 0.613_603_156_935_333_1, -0.241_454_084_540_906_4, 0.005_037_631_054_652_852_4]),
    ];
    for (elastic_net_param, expected) in expected {
        let learner = LinearRegression { regularisation: Regularisation::spark(0.3, elastic_net_param), ..Default::default() };
        check(&learner.fit(&rows.frame, &rows.y, Some(&rows.w), &control(1)).unwrap(), expected, 1e-6);
    }
    let learner = LogisticRegression { regularisation: Regularisation::spark(0.1, 0.0), tolerance: 1e-14, ..Default::default() };
    let label = |(i, y): (usize, &f64)| u32::from(y + (5.0 * i as f64).cos() * 2.0 > 4.5);
    let labels: Vec<u32> = rows.y.iter().enumerate().map(label).collect();
    let model = learner.fit(&rows.frame, &labels, 2, None, &control(1)).unwrap();
    close(&model.intercepts, &[-0.147_828_310_456_561_2], 1e-5);
    close(&model.coefficients, &[0.246_791_209_734_802_37, -0.197_331_183_444_764_58, 0.004_792_798_182_099_529], 1e-5);
    let model = learner.fit(&rows.frame, &rows.classes, 3, None, &control(1)).unwrap();
    close(&model.intercepts, &[0.600_376_696_665_944_5, 0.133_898_814_006_117_94, -0.734_275_510_672_062_5], 1e-5);
    let expected = [
        [-0.410_714_928_492_154_3, 0.142_645_473_005_770_93, -0.000_754_914_929_213_948_8],
        [0.147_671_696_008_323_06, 0.080_970_718_604_584_68, -0.003_881_881_318_732_971_3],
        [0.263_043_232_483_831_2, -0.223_616_191_610_355_54, 0.004_636_796_247_946_924],
    ];
    close(&model.coefficients, &expected.concat(), 1e-5);
    let target = |i: usize| (0.2 * rows.x[0][i] - 0.1 * rows.x[1][i] + 0.003 * rows.x[2][i]).exp() + (i % 2) as f64;
    let counts: Vec<f64> = (0..40).map(|i| target(i).floor()).collect();
    let model = GeneralisedLinearRegression::of(Family::Poisson).fit(&rows.frame, &counts, None, None, &control(1)).unwrap();
    check(&model, [-0.104_886_828_419_590_88, 0.235_967_318_546_020_2, -0.094_962_512_184_913_04, 0.003_198_377_276_643_761], 1e-8);
    close(&[model.fit.deviance], &[13.160_295_608_611_445], 1e-9);
    let errors = model.fit.standard_errors.unwrap();
    close(&errors.coefficients, &[0.072_019_521_705_518_19, 0.028_956_394_018_669_29, 0.001_695_641_406_978_308_6], 1e-6);
}
