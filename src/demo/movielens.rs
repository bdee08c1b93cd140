//! A data set of the shape of MovieLens, the same at every run: movies with genres, users with tastes.
//!
//! Ratings come out of a planted low-rank structure plus noise, so a recommender has something to find.
//! Popularity falls like a power of the rank and activity differs between users, as in the real data.

use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

const N_USERS: usize = 610;
const N_MOVIES: usize = 4_000;
const N_RATINGS: usize = 100_000;
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Seconds: 1 January 2015 to 31 December 2024.
const TIME_RANGE: (u64, u64) = (1_420_070_400, 1_735_603_200);

const GENRES: [&str; 12] =
    ["Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Romance", "Sci-Fi", "Thriller"];
const ADJECTIVES: [&str; 20] = [
    "Silent", "Crimson", "Last", "Hidden", "Golden", "Broken", "Distant", "Electric", "Frozen", "Gentle", "Hollow", "Iron", "Lost",
    "Midnight", "Paper", "Quiet", "Restless", "Second", "Velvet", "Wild",
];
const NOUNS: [&str; 20] = [
    "River", "Garden", "Harbour", "Signal", "Orchard", "Mirror", "Voyage", "Winter", "Kingdom", "Letter", "Machine", "Mountain", "Night",
    "Promise", "Season", "Shadow", "Station", "Stranger", "Summer", "Tide",
];

/// Writes `ratings.csv` and `movies.csv`, unless both are there.
pub fn write(directory: &Path) -> Result<()> {
    if directory.join("ratings.csv").is_file() && directory.join("movies.csv").is_file() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    let mut random = Random(SEED);
    let movies: Vec<Movie> = (0..N_MOVIES).map(|_| Movie::draw(&mut random)).collect();
    write_movies(&directory.join("movies.csv"), &movies, &mut random)?;
    // The ratings come last and under their own name only when whole: their presence means done.
    let unfinished = directory.join("ratings.csv.part");
    write_ratings(&unfinished, &movies, &mut random)?;
    fs::rename(unfinished, directory.join("ratings.csv"))
}

/// A movie's place in taste space.
struct Movie {
    genres: Vec<usize>,
    quality: f64,
}

impl Movie {
    fn draw(random: &mut Random) -> Self {
        let n_genres = 1 + random.below(3);
        let mut genres: Vec<usize> = (0..n_genres).map(|_| random.below(GENRES.len())).collect();
        genres.sort_unstable();
        genres.dedup();
        Self { genres, quality: random.normal() * 0.35 }
    }
}

fn write_movies(path: &Path, movies: &[Movie], random: &mut Random) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "movieId,title,genres")?;
    for (idx, movie) in movies.iter().enumerate() {
        let (adjective, noun) = (ADJECTIVES[random.below(ADJECTIVES.len())], NOUNS[random.below(NOUNS.len())]);
        let year = 1950 + random.below(75);
        // As in the real file: articles behind a comma, quotes doubled, so that a reader of CSV has work to do.
        let title = match random.below(10) {
            0..=2 => format!("\"{adjective} {noun}, The ({year})\""),
            3 => format!("\"{noun}: \"\"{adjective}\"\" ({year})\""),
            _ => format!("{adjective} {noun} {} ({year})", idx % 97 + 1),
        };
        let genres: Vec<&str> = movie.genres.iter().map(|genre| GENRES[*genre]).collect();
        writeln!(file, "{},{title},{}", idx + 1, genres.join("|"))?;
    }
    file.flush()
}

fn write_ratings(path: &Path, movies: &[Movie], random: &mut Random) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "userId,movieId,rating,timestamp")?;
    for user_idx in 0..N_USERS {
        let tastes: Vec<f64> = (0..GENRES.len()).map(|_| random.normal() * 0.8).collect();
        let mildness = random.normal() * 0.4;
        // Activity: twenty ratings at least, a few users very many.
        let share = 0.35 + 2.6 * random.unit().powi(3);
        let n_ratings = ((N_RATINGS as f64 / N_USERS as f64 * share) as usize).clamp(20, N_MOVIES / 4);
        let mut seen = vec![false; N_MOVIES];
        let (from, until) = TIME_RANGE;
        let mut time = from + random.below((until - from) as usize) as u64;
        for _ in 0..n_ratings {
            let movie_idx = ((N_MOVIES as f64) * random.unit().powf(2.5)) as usize % N_MOVIES;
            if std::mem::replace(&mut seen[movie_idx], true) {
                continue;
            }
            let movie = &movies[movie_idx];
            let taste: f64 = movie.genres.iter().map(|genre| tastes[*genre]).sum::<f64>() / (movie.genres.len() as f64).sqrt();
            let rating = 3.5 + mildness + movie.quality + taste * 0.6 + random.normal() * 0.6;
            let stars = ((rating * 2.0).round() / 2.0).clamp(0.5, 5.0);
            time = (time + random.below(400_000) as u64).min(until);
            writeln!(file, "{},{},{stars:.1},{time}", user_idx + 1, movie_idx + 1)?;
        }
    }
    file.flush()
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Mean 0, deviation 1, by the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_same_at_every_run_and_left_alone_when_it_is_there() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(one.path()).unwrap();
        write(two.path()).unwrap();
        let ratings = |directory: &Path| fs::read_to_string(directory.join("ratings.csv")).unwrap();
        assert_eq!(ratings(one.path()), ratings(two.path()));
        let n_rows = ratings(one.path()).lines().count();
        assert!((50_000..150_000).contains(&n_rows), "{n_rows} rows");
        fs::write(one.path().join("ratings.csv"), "mine").unwrap();
        write(one.path()).unwrap();
        assert_eq!(ratings(one.path()), "mine");
    }
}
