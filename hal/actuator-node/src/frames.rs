//! Frames of a CAN controller's driver, by embedded-can's trait, and ours.

use embedded_can::{Frame as CanFrame, Id, StandardId};
use twinhelm_hal::frame::Frame;

/// Returns the controller's frame as ours; `None` for extended and remote frames, which are nobody's here.
pub(crate) fn from_can(frame: &impl CanFrame) -> Option<Frame> {
    let Id::Standard(id) = frame.id() else {
        return None;
    };
    if frame.is_remote_frame() {
        return None;
    }
    let bytes = frame.data();
    let mut data = [0; 8];
    data.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Frame { id: id.as_raw(), len: u8::try_from(bytes.len()).ok()?, data })
}

/// Returns our frame as the controller's.
pub(crate) fn to_can<F: CanFrame>(frame: &Frame) -> Option<F> {
    F::new(StandardId::new(frame.id)?, frame.data.get(..usize::from(frame.len))?)
}
