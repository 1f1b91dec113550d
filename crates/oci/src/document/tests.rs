//! Documents as builders and registries write them.

use super::*;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const LAYER: &str = "{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'B'}";

fn named(text: &str) -> Digest {
    Digest::parse("test", text).unwrap()
}

fn on(text: &str) -> Platform {
    Platform::parse("test", text).unwrap()
}

/// `'` stands for `"`, and `'A'` for a digest.
fn parse(text: &str) -> Result<Document, Malformed> {
    Document::parse(
        text.replace("'A'", &format!("'{A}'")).replace("'B'", &format!("'{B}'")).replace('\'', "\"").as_bytes(),
    )
}

#[test]
fn manifests_of_both_makers_are_read_with_layers_of_any_compression() {
    for (layer, compression, is_foreign) in [
        ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip, false),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd, false),
        ("application/vnd.oci.image.layer.v1.tar", Compression::None, false),
        ("application/vnd.oci.image.layer.v1.tar+lzma", Compression::Other, false),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::Gzip, true),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip, false),
        ("application/vnd.docker.image.rootfs.diff.tar", Compression::None, false),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::Gzip, true),
    ] {
        let text = format!(
            "{{'schemaVersion':2,'config':{{'digest':'A','size':3}},'layers':[{{'mediaType':'{layer}','digest':'B','size':7}}]}}"
        );
        let layers = vec![Layer { digest: named(B), size_bytes: 7, compression, is_foreign }];
        assert_eq!(parse(&text), Ok(Document::Manifest(Manifest { config: named(A), layers })), "{layer}");
    }
}

#[test]
fn entries_of_an_index_have_platforms_and_attestations_are_told_apart() {
    let text = "{'schemaVersion':2,'manifests':[\
        {'digest':'A','size':1,'platform':{'os':'linux','architecture':'arm64','variant':'v8'}},\
        {'digest':'B','size':1,'platform':{'os':'unknown','architecture':'unknown'},\
         'annotations':{'vnd.docker.reference.type':'attestation-manifest'}},{'digest':'A','platform':{}}]}";
    let Ok(Document::Index(entries)) = parse(text) else { panic!("no index: {:?}", parse(text)) };
    let seen: Vec<_> = entries.iter().map(|entry| (entry.platform.clone(), entry.is_attestation())).collect();
    let expected = [(Some(on("linux/arm64/v8")), false), (Some(on("unknown/unknown")), true), (None, false)];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_no_image_says_why() {
    let in_toto = "{'config':{'digest':'A'},'layers':[{'mediaType':'application/vnd.in-toto+json','digest':'B'}]}";
    assert_eq!(parse(in_toto), Err(Malformed::NoImage("application/vnd.in-toto+json".to_owned())));
    assert_eq!(parse("{'schemaVersion':1,'fsLayers':[]}"), Err(Malformed::Schema1));
    assert_eq!(parse("{'hello':1}"), Err(Malformed::Unknown));
    assert!(matches!(parse("\u{1f}\u{8b}"), Err(Malformed::Json(_))));
    assert_eq!(parse("{'layers':[]}"), Err(Malformed::Unknown));
    let bad = format!("{{'config':{{'digest':'A'}},'layers':[{}]}}", LAYER.replace("'B'", "'md5:1'"));
    assert!(matches!(parse(&bad), Err(Malformed::Field(why)) if why.contains("layers.digest")));
    let large = LAYER.replace("'B'", &format!("'B','size':{}", limits::LAYER_BYTES + 1));
    let large = parse(&format!("{{'config':{{'digest':'A'}},'layers':[{large}]}}"));
    assert!(matches!(large, Err(Malformed::Field(why)) if why.contains("layers.size")));
    let negative = LAYER.replace("'B'", "'B','size':-1");
    assert!(matches!(parse(&format!("{{'config':{{'digest':'A'}},'layers':[{negative}]}}")), Err(Malformed::Json(_))));
}

#[test]
fn lists_are_counted_beyond_their_bound_and_refused() {
    let many = |item: &str, count: usize| vec![item; count].join(",");
    let too_many = |what, count, limit| Err(Malformed::TooMany { what, count, limit });
    let limit = limits::LAYERS_PER_IMAGE;
    let layers = |count| parse(&format!("{{'config':{{'digest':'A'}},'layers':[{}]}}", many(LAYER, count)));
    assert!(layers(limit).is_ok());
    assert_eq!(layers(limit + 1), too_many("layers", limit + 1, limit));
    let entries = parse(&format!("{{'manifests':[{}]}}", many("{'digest':'A'}", INDEX_ENTRIES + 7)));
    assert_eq!(entries, too_many("manifests", INDEX_ENTRIES + 7, INDEX_ENTRIES));
    let diff_ids = parse(&format!("{{'rootfs':{{'diff_ids':[{}]}}}}", many("'A'", limit + 1)));
    assert_eq!(diff_ids, too_many("diff ids", limit + 1, limit));
}

#[test]
fn a_document_of_two_kinds_is_refused() {
    let index_type = "application/vnd.oci.image.index.v1+json";
    for text in [
        format!("{{'manifests':[{{'digest':'A'}}],'config':{{'digest':'A'}},'layers':[{LAYER}]}}"),
        format!("{{'mediaType':'{index_type}','config':{{'digest':'A'}},'layers':[{LAYER}]}}"),
        "{'mediaType':'application/vnd.oci.image.manifest.v1+json','manifests':[]}".to_owned(),
    ] {
        assert_eq!(parse(&text), Err(Malformed::Ambiguous), "{text}");
    }
    assert!(parse(&format!("{{'mediaType':'{index_type}','manifests':[]}}")).is_ok());
}

#[test]
fn the_nearest_entry_of_an_index_is_chosen_and_attestations_never() {
    let entry = |at: u8, platform: Option<&str>| Entry { digest: Digest([at; 32]), platform: platform.map(on) };
    let index = [
        entry(0, Some("unknown/unknown")),
        entry(1, None),
        entry(2, Some("linux/arm/v5")),
        entry(3, Some("linux/arm/v6")),
        entry(4, Some("linux/amd64")),
    ];
    for (wanted, chosen) in
        [("linux/amd64", vec![4]), ("linux/arm/v7", vec![3]), ("linux/arm/v5", vec![2]), ("windows/amd64", vec![1])]
    {
        let chosen: Vec<Digest> = chosen.into_iter().map(|at| Digest([at; 32])).collect();
        assert_eq!(candidates(&index, &on(wanted)), chosen, "{wanted}");
    }
}

#[test]
fn configs_name_contents_and_chains_are_made_of_them() {
    let text =
        "{'os':'linux','architecture':'amd64','config':{'Env':[]},'rootfs':{'type':'layers','diff_ids':['A','B']}}";
    let diff_ids = vec![named(A), named(B)];
    let config = Config { platform: Some(Platform::default()), diff_ids: diff_ids.clone() };
    assert_eq!(parse(text), Ok(Document::Config(config)));
    // Two layers of a snapshotter, as containerd 1.6 named the stack of them.
    let below = named("sha256:1663277f45fe10f4175b7994093bbc5a2d7ee30887d3a94df214596fd70cdce1");
    let above = named("sha256:6e0e12a868a1a0eb51c9b98beed9632993ed54c803c24a9f1d72c91c6b6e8f5f");
    let stack = named("sha256:c981feaf124395a36fb1c9781d0db8a0e1e6ad6cad4e5ae04f4e1044ae4749c7");
    assert_eq!(chains(&[below, above]), [below, stack]);
}
