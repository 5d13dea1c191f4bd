//! The `image` commands.

use crate::cli::BuildArgs;
use crate::output::{Problem, bytes, print, print_json, tell};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use twinhelm_mission::image::build::{self, Recipe};
use twinhelm_mission::image::pack::{Contents, pack};
use twinhelm_mission::image::pull::{self, Progress, Rate, Request};
use twinhelm_mission::image::push;
use twinhelm_mission::image::verify::{Limits, Verified, verify as verify_image};
use twinhelm_mission::image::{Digest, Layout, Place, Platform, Reference};

/// `image build`
pub(crate) fn build(args: &BuildArgs) -> Result<(), Problem> {
    let Place::Layout(folder) = &args.out.place else {
        return Err(Problem::bad_input("--out names a registry: build into oci:FOLDER:TAG, then push"));
    };
    let tag = args.out.tag.as_deref().unwrap_or("mission");
    let mut programs: BTreeMap<Platform, std::path::PathBuf> = args.binary.iter().cloned().collect();
    let asked = if args.platform.is_empty() && programs.is_empty() {
        Platform::ALL.to_vec()
    } else {
        args.platform.clone()
    };
    let (mut ways, mut impossible) = (Vec::new(), Vec::new());
    for platform in asked.into_iter().filter(|platform| !programs.contains_key(platform)) {
        match build::way(platform) {
            Ok(way) => ways.push((platform, way)),
            Err(why) => impossible.push(why),
        }
    }
    if args.ways {
        for (platform, way) in &ways {
            print(format_args!("{platform}: {way}"));
        }
        for why in &impossible {
            print(why);
        }
        return Ok(());
    }
    for why in &impossible {
        tell(why);
    }
    // What was asked for by name has to be there.
    if !args.platform.is_empty() && !impossible.is_empty() {
        return Err(Problem::machine("not every platform that was asked for can be built here; nothing is packed"));
    }
    if ways.is_empty() && programs.is_empty() {
        return Err(Problem::machine("no platform can be built here"));
    }
    let workspace = args.workspace.canonicalize();
    let workspace =
        workspace.map_err(|error| Problem::bad_input(format_args!("{}: {error}", args.workspace.display())))?;
    let (target, package) = (workspace.join("target/image"), args.package.clone());
    let recipe = Recipe { target, workspace, package, quick: args.quick };
    for (count, (platform, way)) in ways.iter().enumerate() {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {elapsed_precise} {prefix}: {wide_msg}"));
        bar.set_prefix(format!("{platform} ({} of {})", count + 1, ways.len()));
        if bar.is_hidden() {
            tell(format_args!("{platform} ({} of {}): {way}", count + 1, ways.len()));
        }
        let program = build::build(&recipe, *platform, way, &mut |line| {
            bar.set_message(line.to_owned());
            bar.tick();
        });
        bar.finish_and_clear();
        programs.insert(*platform, program?);
    }
    let mut data = BTreeMap::new();
    for path in &args.data {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Problem::bad_input(format_args!("{} is no file", path.display())))?;
        if let Some(other) = data.insert(name, path.clone()) {
            let message = format!("{} and {} have one name", other.display(), path.display());
            return Err(Problem::bad_input(message));
        }
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let contents = Contents { name: args.package.clone(), version, programs, data };
    let layout = Layout::create(folder)?;
    let digest = pack(&layout, &contents, tag)?;
    let platforms: Vec<String> = contents.programs.keys().map(ToString::to_string).collect();
    if args.json {
        let left_out: Vec<String> = impossible.iter().map(|why| why.platform.to_string()).collect();
        return print_json(&json!({"image": digest, "tag": tag, "platforms": platforms, "left_out": left_out}));
    }
    print(format_args!("{digest}  oci:{}:{tag}", folder.display()));
    print(format_args!("  {}", platforms.join(", ")));
    Ok(())
}

/// `image push`
pub(crate) fn push(from: &Reference, to: &Reference, as_json: bool) -> Result<(), Problem> {
    let layout = Layout::open(folder_of(from)?)?;
    let bar = bytes_bar();
    let pushed = push::push(&layout, from, to, &mut |progress| draw(&bar, progress));
    bar.finish_and_clear();
    let pushed = pushed?;
    if as_json {
        return print_json(&json!({"image": pushed.image, "sent_bytes": pushed.sent, "kept_bytes": pushed.kept}));
    }
    print(format_args!("{}  {to}", pushed.image));
    print(format_args!("  {} sent, {} there already", bytes(pushed.sent), bytes(pushed.kept)));
    Ok(())
}

/// `image pull`
pub(crate) fn pull(
    from: &Reference,
    to: &Reference,
    platform: Option<Platform>,
    rate: Option<f64>,
    as_json: bool,
) -> Result<(), Problem> {
    let folder = folder_of(to)?;
    let layout = Layout::create(folder)?;
    let bar = bytes_bar();
    let rate = Rate::new(rate.filter(|rate| *rate > 0.0).map(|rate| (rate * f64::from(1 << 20)) as u64));
    let from = [from.clone()];
    let runs = platform.map_or(&[][..], Platform::runs);
    let tag = to.tag.as_deref().or(from[0].tag.as_deref());
    let request = Request { from: &from, runs, rate: &rate, tag };
    let pulled = pull::pull(&layout, &request, &mut |progress| draw(&bar, progress));
    bar.finish_and_clear();
    let pulled = pulled?;
    if as_json {
        return print_json(&json!({
            "image": pulled.image, "manifest": pulled.manifest,
            "fetched_bytes": pulled.fetched, "kept_bytes": pulled.kept,
        }));
    }
    print(format_args!("{}  {to}", pulled.image));
    print(format_args!("  {} fetched, {} here already", bytes(pulled.fetched), bytes(pulled.kept)));
    Ok(())
}

/// `image ls`
pub(crate) fn ls(folder: &Path, as_json: bool) -> Result<(), Problem> {
    let layout = Layout::open(folder)?;
    let listed = layout.list()?;
    if as_json {
        let listed: Vec<_> = listed
            .iter()
            .map(|one| json!({"tag": one.tag, "digest": one.blob.digest, "media_type": one.blob.media_type.to_string()}))
            .collect();
        return print_json(&listed);
    }
    for one in listed {
        let tag = one.tag.unwrap_or_else(|| "-".to_owned());
        print(format_args!("{tag:<16} {}", one.blob.digest));
    }
    Ok(())
}

/// `image inspect`
pub(crate) fn inspect(image: &Reference, as_json: bool) -> Result<(), Problem> {
    let (layout, digest) = find(image)?;
    let parts = layout.inspect(&digest)?;
    if as_json {
        return print_json(&json!({"image": digest, "manifests": parts}));
    }
    print(&digest);
    for part in parts {
        let here = if part.here { "" } else { "  not here" };
        print(format_args!("  {:<14} {}{here}", part.platform, part.manifest));
        for layer in part.layers {
            print(format_args!("    {:<12} {}  {}", bytes(layer.bytes), layer.digest, layer.media_type));
        }
        if !part.entrypoint.is_empty() {
            print(format_args!("    executes {}", part.entrypoint.join(" ")));
        }
    }
    Ok(())
}

/// `image verify`
pub(crate) fn verify(image: &Reference, platform: Option<Platform>, as_json: bool) -> Result<(), Problem> {
    let (layout, digest) = find(image)?;
    let runs = platform.map_or(&[][..], Platform::runs);
    let verified = verify_image(&layout, &digest, runs, Limits::default())?;
    let name = |one: &Verified| one.platform.map_or_else(|| "another".to_owned(), |platform| platform.to_string());
    if as_json {
        let manifests: Vec<_> = verified
            .iter()
            .map(|one| {
                json!({"platform": name(one), "manifest": one.manifest, "layers": one.layers.len(),
                       "unpacked_bytes": one.unpacked, "entries": one.entries})
            })
            .collect();
        return print_json(&json!({"image": digest, "verified": true, "manifests": manifests}));
    }
    print(format_args!("{digest}: ok"));
    for one in &verified {
        let (layers, entries) = (one.layers.len(), one.entries);
        print(format_args!("  {:<14} {layers} layers, {entries} entries, {}", name(one), bytes(one.unpacked)));
    }
    Ok(())
}

/// `image rm`
pub(crate) fn rm(image: &Reference) -> Result<(), Problem> {
    if image.tag.is_none() && image.digest.is_none() {
        let message = format!("{image} names a folder: name an image in it, by its tag or digest");
        return Err(Problem::bad_input(message));
    }
    let layout = Layout::create(folder_of(image)?)?;
    let removed = layout.remove(image.tag.as_deref(), image.digest.as_ref())?;
    print(format_args!("{} of blobs removed", bytes(removed)));
    Ok(())
}

fn folder_of(image: &Reference) -> Result<&Path, Problem> {
    match &image.place {
        Place::Layout(folder) => Ok(folder),
        Place::Registry { .. } => Err(Problem::bad_input(format_args!(
            "{image} is in a registry: name oci:FOLDER[:TAG], or pull it first"
        ))),
    }
}

fn find(image: &Reference) -> Result<(Layout, Digest), Problem> {
    let layout = Layout::open(folder_of(image)?)?;
    let digest = layout.resolve(image)?;
    Ok((layout, digest))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bytes_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_style(style("{bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} to go"));
    bar
}

fn draw(bar: &ProgressBar, Progress { done, all }: Progress) {
    bar.set_length(all);
    bar.set_position(done);
}
