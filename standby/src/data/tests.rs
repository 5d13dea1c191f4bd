//! What is decided about mission data, case by case.

use super::*;

fn position(term: u32, cycle: u64) -> Position {
    Position { term: Term::new(term), cycle: Cycle::new(cycle) }
}

fn segment(seq: u64, bytes: u64) -> Piece {
    Piece { seq, kind: Kind::Segment, bytes, sha256: String::new() }
}

fn snapshot(seq: u64) -> Piece {
    Piece { kind: Kind::Snapshot(position(0, seq)), ..segment(seq, 1) }
}

fn numbers(pieces: &[Piece]) -> Vec<u64> {
    pieces.iter().map(|piece| piece.seq).collect()
}

#[test]
fn a_later_term_is_further_whatever_the_cycle() {
    assert!(position(5, 10) > position(4, 1_000));
    assert!(position(5, 11) > position(5, 10));
}

#[test]
fn a_snapshot_of_an_earlier_drive_is_none_to_go_on_from() {
    assert!(position(5, 0).is_of(5), "the term of the gates");
    assert!(position(5, 0).is_of(9), "one that they adopted since");
    assert!(!position(9, 0).is_of(5), "one that they have never heard of");
    assert!(!position(5, 0).is_of(5 + 32));
    assert!(position(0x1_0000 + 254, 0).is_of(2), "the low bits go round");
}

#[test]
fn of_the_snapshots_the_newest_alone_is_uploaded_and_segments_in_their_order() {
    let on_disk = [segment(0, 10), snapshot(1), segment(2, 10), snapshot(3), segment(4, 10)];
    assert_eq!(numbers(&to_upload(&on_disk, |_| false)), [0, 2, 3, 4]);
    assert_eq!(numbers(&to_upload(&on_disk, |seq| seq <= 2)), [3, 4]);
    assert!(to_upload(&on_disk, |_| true).is_empty());
}

#[test]
fn what_is_acknowledged_leaves_the_disk_first_and_the_last_snapshots_stay() {
    let on_disk =
        [snapshot(0), segment(1, 10), snapshot(2), segment(3, 10), snapshot(4), segment(5, 10), snapshot(6)];
    let acknowledged = |seq| seq == 3;
    assert_eq!(numbers(&to_remove(&on_disk, acknowledged, 1_000)), [0], "only a snapshot too many");
    assert_eq!(numbers(&to_remove(&on_disk, acknowledged, 25)), [0, 3]);
    assert_eq!(numbers(&to_remove(&on_disk, acknowledged, 15)), [0, 3, 1], "nobody has that one then");
    assert_eq!(numbers(&to_remove(&on_disk, acknowledged, 0)), [0, 3, 1, 5]);
}

#[test]
fn a_manifest_counts_all_that_it_ever_acknowledged() {
    let first = Manifest::default();
    let (second, chores) = first.with("a", &[segment(0, 10), snapshot(1), snapshot(2)]);
    assert_eq!((second.generation, second.last, chores), (1, Some(2), Chores::default()));
    assert!(second.has("a", 2) && !second.has("a", 3) && !second.has("b", 0), "another disk counts for itself");
    let (third, chores) = second.with("b", &[snapshot(0), snapshot(1)]);
    assert_eq!(chores.retired, [("a".to_owned(), snapshot(1))]);
    assert_eq!(third.acknowledged, Amount { pieces: 5, bytes: 14 });
    assert_eq!(third.retired, Amount { pieces: 1, bytes: 1 });
    let listed: u64 = third.pieces.iter().map(|(_, piece)| piece.bytes).sum();
    assert_eq!(listed + third.retired.bytes, third.acknowledged.bytes);
    assert_eq!(third.last, Some(1));
}

#[test]
fn a_manifest_stays_short_and_its_older_pieces_go_to_pages() {
    let mut manifest = Manifest::default();
    let mut paged = Vec::new();
    for seq in 0..2_000 {
        let (next, chores) = manifest.with("a", &[segment(seq, 1)]);
        if let Some((number, page)) = chores.page {
            assert_eq!(number, manifest.pages);
            paged.extend(page);
        }
        manifest = next;
        assert!(manifest.pieces.len() <= SEGMENTS_LISTED);
    }
    let all = paged.iter().chain(&manifest.pieces).map(|(_, piece)| piece.seq);
    assert!(all.eq(0..2_000), "each once, in order");
}

#[test]
fn a_manifest_that_claims_the_largest_numbers_leads_to_no_overflow() {
    let most = Amount { pieces: u64::MAX, bytes: u64::MAX };
    let mut told = Manifest { generation: u64::MAX, pages: u32::MAX, ..Manifest::default() };
    (told.acknowledged, told.retired) = (most, most);
    let pieces: Vec<Piece> = (0..=SEGMENTS_LISTED as u64).map(|seq| segment(seq, u64::MAX)).collect();
    let snapshots: Vec<Piece> = (0..5).map(|seq| Piece { bytes: u64::MAX, ..snapshot(seq) }).collect();
    let (next, chores) = told.with("a", &[pieces.clone(), snapshots.clone()].concat());
    assert_eq!((next.generation, next.pages, next.acknowledged, next.retired), (u64::MAX, u32::MAX, most, most));
    assert_eq!(chores.page.map(|(number, _)| number), Some(u32::MAX));
    assert_eq!(to_remove(&[pieces, snapshots].concat(), |_| true, 0).len(), SEGMENTS_LISTED + 1 + 2);
}

#[test]
fn acknowledged_is_in_object_storage_or_on_both_disks() {
    let [older, newer] = [position(4, 10), position(4, 20)];
    assert_eq!(acknowledged(None, Some(newer), None), None, "one disk alone");
    assert_eq!(acknowledged(None, Some(newer), Some(older)), Some(older));
    assert_eq!(acknowledged(Some(newer), Some(older), Some(older)), Some(newer));
}
