//! The simulated disk beside the real one, and what a crash leaves of it.

use std::{path::Path, sync::Arc};

use gantry_store::{Batch, Column, Disk, Ground, KvEngine, Opening};

use super::{End, SimDisk};
use crate::chance::Chance;

const COLUMNS: [Column; 3] = [Column::Log, Column::State, Column::Meta];
const RUNS: u64 = 8;
const STEPS: u64 = 200;

fn open(ground: &Ground, dir: &Path) -> Arc<dyn KvEngine> {
    ground.engines.open(dir, Box::new(())).unwrap()
}

/// Few keys, so that they are overwritten and deleted.
fn key(chance: &mut Chance) -> Vec<u8> {
    (0..chance.below(3)).map(|_| chance.below(4) as u8).collect()
}

fn batch(chance: &mut Chance) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..=chance.below(4) {
        let column = *chance.pick(&COLUMNS).unwrap();
        match chance.below(8) {
            0 => {
                let (a, b) = (key(chance), key(chance));
                batch.delete_range(column, a.clone().min(b.clone()), a.max(b));
            }
            1 | 2 => batch.delete(column, key(chance)),
            _ => batch.put(column, key(chance), chance.number().to_be_bytes()),
        }
    }
    batch
}

type Row = (Box<[u8]>, Box<[u8]>);

fn rows(engine: &dyn KvEngine, column: Column, range: (&[u8], Option<&[u8]>)) -> Vec<Row> {
    engine.rows(column, range).map(|row| row.unwrap()).collect()
}

#[test]
fn the_simulated_engine_answers_as_rocksdb_does() {
    for seed in 0..RUNS {
        let mut chance = Chance::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (real, disk) = (Ground::default(), SimDisk::new(chance.fork(), None));
        let engines = [open(&real, dir.path()), open(&disk.begin_life().0, dir.path())];
        for _ in 0..STEPS {
            let batch = batch(&mut chance);
            let views = engines.each_ref().map(|engine| engine.view());
            let before = engines.each_ref().map(|engine| rows(&**engine, Column::State, (&[], None)));
            engines.iter().for_each(|engine| engine.write("test", &batch).unwrap());
            if chance.permille(200) {
                engines.iter().for_each(|engine| engine.sync().unwrap());
            }
            let (column, at, to) = (*chance.pick(&COLUMNS).unwrap(), key(&mut chance), key(&mut chance));
            let to = chance.permille(700).then_some(&to[..]).filter(|to| *to > &at[..]);
            let [a, b] =
                engines.each_ref().map(|engine| (engine.get(column, &at).unwrap(), rows(&**engine, column, (&at, to))));
            assert_eq!(a, b, "seed {seed}");
            let seen = views.map(|view| view.rows(Column::State).map(|row| row.unwrap()).collect::<Vec<Row>>());
            assert_eq!(seen, before, "a view changed, seed {seed}");
        }
        engines.iter().for_each(|engine| engine.sync().unwrap());
        let all = |engine: &dyn KvEngine| COLUMNS.map(|column| rows(engine, column, (&[], None)));
        let before = all(&*engines[0]);
        drop(engines);
        disk.end_life(End::PowerCut);
        assert_eq!(all(&*open(&real, dir.path())), before, "seed {seed}");
        assert_eq!(all(&*open(&disk.begin_life().0, dir.path())), before, "seed {seed}");
    }
}

#[test]
fn a_crash_leaves_what_was_synced_and_a_prefix_of_the_rest() {
    let (mut lost, mut torn) = (false, false);
    for seed in 0..40 {
        let disk = SimDisk::new(Chance::new(seed), None);
        let engine = open(&disk.begin_life().0, Path::new("/data"));
        for number in 0..10_u8 {
            let mut batch = Batch::default();
            batch.put(Column::Log, [number], [number]);
            batch.put(Column::State, [number], [number]);
            engine.write("test", &batch).unwrap();
            if number == 3 {
                engine.sync().unwrap();
            }
        }
        disk.end_life(End::PowerCut);
        assert!(engine.write("test", &Batch::default()).is_err(), "a process that is gone writes on");
        let engine = open(&disk.begin_life().0, Path::new("/data"));
        let [log, state] = [Column::Log, Column::State].map(|column| rows(&*engine, column, (&[], None)));
        assert_eq!(log, state, "a batch is whole or not there");
        assert!(log.len() >= 4, "what was synced is gone");
        assert!(log.iter().enumerate().all(|(at, (key, _))| key[..] == [at as u8]), "it is no prefix");
        lost |= log.len() == 4;
        torn |= (5..10).contains(&log.len());
    }
    assert!(lost && torn);
}

#[test]
fn a_file_is_durable_once_it_and_its_name_are_synced() {
    let (mut gone, mut kept) = (false, false);
    for seed in 0..40 {
        let disk = SimDisk::new(Chance::new(seed), None);
        let files = disk.begin_life().0.disk;
        let dir = Path::new("/data");
        let write = |disk: &dyn Disk, name: &str, synced: bool| {
            let file = disk.open(&dir.join(name), Opening::Emptied).unwrap();
            file.write_all_at(b"content", 0).unwrap();
            if synced {
                file.sync().unwrap();
            }
        };
        write(&*files, "whole", true);
        files.rename(&dir.join("whole"), &dir.join("renamed")).unwrap();
        files.sync_dir(dir).unwrap();
        write(&*files, "nameless", true);
        disk.end_life(End::PowerCut);
        let files = disk.begin_life().0.disk;
        let mut read = [0; 7];
        assert_eq!(files.open(&dir.join("renamed"), Opening::Existing).unwrap().read_at(&mut read, 0).unwrap(), 7);
        assert_eq!(&read, b"content");
        assert!(!files.exists(&dir.join("whole")));
        *(if files.exists(&dir.join("nameless")) { &mut kept } else { &mut gone }) = true;
    }
    assert!(gone && kept);
}
