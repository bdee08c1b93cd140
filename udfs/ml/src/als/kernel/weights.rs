//! What implicit ratings weigh, and what is wanted of them.

/// Weights must not be zero, since targets are divided by them; nothing that small can be seen in an f32 sum.
const WEIGHT_MIN: f32 = 1e-10;
/// Ratings at a time: a register of any machine, or two of the small ones.
const EIGHT: usize = 8;

/// Writes the weight `√c` of each rating, `c = alpha·|value|`, and its target over the weight: what the Gram matrix of all
/// rows does not have. `A += c·y yᵀ` is the outer product of `√c·y`, `b += (1 + c)·y`. Returns the loss of predicting 0 for all.
///
/// Source: Hu, Koren, Volinsky 2008, *Collaborative Filtering for Implicit Feedback Datasets*, §4.
#[inline(always)]
pub fn weigh(alpha: f32, values: &[f32], weights: &mut [f32], targets: &mut [f32]) -> f64 {
    let n = values.len();
    let (values, last_values) = values.as_chunks::<EIGHT>();
    let (weights, last_weights) = weights[..n].as_chunks_mut::<EIGHT>();
    let (targets, last_targets) = targets[..n].as_chunks_mut::<EIGHT>();
    let mut energies = [0f32; EIGHT];
    for ((values, weights), targets) in values.iter().zip(weights).zip(targets) {
        weigh_eight(alpha, values, weights, targets, &mut energies);
    }
    if !last_values.is_empty() {
        // What is not there has the value 0: it adds nothing to the loss.
        let (mut values, mut weights, mut targets) = ([0f32; EIGHT], [0f32; EIGHT], [0f32; EIGHT]);
        values[..last_values.len()].copy_from_slice(last_values);
        weigh_eight(alpha, &values, &mut weights, &mut targets, &mut energies);
        last_weights.copy_from_slice(&weights[..last_values.len()]);
        last_targets.copy_from_slice(&targets[..last_values.len()]);
    }
    energies.iter().map(|energy| f64::from(*energy)).sum()
}

/// Step by step for all eight, so that each step is one instruction.
#[inline(always)]
fn weigh_eight(alpha: f32, values: &[f32; EIGHT], weights: &mut [f32; EIGHT], targets: &mut [f32; EIGHT], energies: &mut [f32; EIGHT]) {
    let confidences = values.map(|value| alpha * value.abs());
    // Not `max`, which asks for NaN too.
    *weights = confidences.map(f32::sqrt).map(|root| if root > WEIGHT_MIN { root } else { WEIGHT_MIN });
    let mut wanted = [0f32; EIGHT];
    for place in 0..EIGHT {
        wanted[place] = if values[place] > 0.0 { 1.0 + confidences[place] } else { 0.0 };
    }
    for place in 0..EIGHT {
        targets[place] = wanted[place] / weights[place];
    }
    for place in 0..EIGHT {
        energies[place] += wanted[place];
    }
}
