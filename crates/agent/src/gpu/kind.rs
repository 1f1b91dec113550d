//! Names of kinds, from names of products.

/// Words that name the maker or a line of products.
const BRANDS: &[&str] = &["NVIDIA", "TESLA", "QUADRO", "GEFORCE"];
/// Words that name how a GPU is plugged in, or that say nothing.
const FORMS: &[&str] = &["PCIE", "SXM", "NVL", "OAM", "GENERATION", "EDITION", "SERVER", "WORKSTATION"];

/// The kind of a product, as NVML names it: the words of the name, split at spaces and hyphens, without brands, forms, and
/// amounts and types of memory, joined by hyphens. A name of which nothing is left is kept as it is.
///
/// `NVIDIA H100 80GB HBM3` is `H100`, `NVIDIA A100-SXM4-40GB` is `A100`, `NVIDIA RTX 6000 Ada Generation` is `RTX-6000-Ada`.
/// Who tells products of one kind apart gives them kinds in the config.
pub fn kind(product: &str) -> String {
    let words = product.split([' ', '-']).filter(|word| !word.is_empty());
    let kept: Vec<&str> = words.clone().filter(|word| !is_noise(word)).collect();
    if kept.is_empty() { words.collect::<Vec<_>>().join("-") } else { kept.join("-") }
}

fn is_noise(word: &str) -> bool {
    let word = word.to_uppercase();
    let without_digits = word.trim_end_matches(|c: char| c.is_ascii_digit());
    BRANDS.contains(&word.as_str()) || FORMS.contains(&without_digits) || is_memory(&word)
}

/// `80GB`, `HBM3`, `HBM2E`.
fn is_memory(word: &str) -> bool {
    let is_amount = word.strip_suffix("GB").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    is_amount || word.starts_with("HBM")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_one_kind_have_one_name() {
        for (product, expected) in [
            ("NVIDIA H100 80GB HBM3", "H100"),
            ("NVIDIA H100 PCIe", "H100"),
            ("NVIDIA H100 NVL", "H100"),
            ("NVIDIA H200", "H200"),
            ("NVIDIA GH200 480GB", "GH200"),
            ("NVIDIA B200", "B200"),
            ("NVIDIA A100-SXM4-80GB", "A100"),
            ("NVIDIA A100 80GB PCIe", "A100"),
            ("A100-PCIE-40GB", "A100"),
            ("Tesla V100-SXM2-16GB", "V100"),
            ("Tesla T4", "T4"),
            ("NVIDIA A10", "A10"),
            ("NVIDIA A10G", "A10G"),
            ("NVIDIA L40S", "L40S"),
            ("NVIDIA L4", "L4"),
            ("NVIDIA RTX A6000", "RTX-A6000"),
            ("NVIDIA RTX 6000 Ada Generation", "RTX-6000-Ada"),
            ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-Blackwell"),
            ("NVIDIA GeForce RTX 4090", "RTX-4090"),
            ("Quadro RTX 8000", "RTX-8000"),
            ("NVIDIA", "NVIDIA"),
        ] {
            assert_eq!(kind(product), expected, "{product}");
        }
    }
}
