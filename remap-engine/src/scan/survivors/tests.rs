use super::*;

fn mount(fs_type: &str, fs_options: &str) -> Mount {
    Mount {
        fs_type: fs_type.into(),
        fs_options: fs_options.into(),
        ..Mount::tmpfs(1, "/", MountClass::Internal)
    }
}

#[test]
fn the_upper_layer_has_all_names_unless_there_is_an_index() {
    let off = mount("overlay", "rw,lowerdir=/l,upperdir=/u,workdir=/w,index=off");
    assert_eq!(upper_of(&off), Some(Path::new("/u")));
    let on = mount("overlay", "rw,lowerdir=/l,upperdir=/u,workdir=/w,index=on");
    assert_eq!(upper_of(&on), None);
    assert_eq!(
        upper_of(&mount("overlay", "ro,lowerdir=/l,index=off")),
        None
    );
    assert_eq!(upper_of(&mount("ext4", "rw,upperdir=/u,index=off")), None);
}

#[test]
fn a_file_whose_names_are_gone_on_two_mounts_has_no_survivor() {
    let inode = (Device { major: 0, minor: 9 }, 9);
    let name = |name: &str| Survivor::Name(name.into());
    let mut survivors = Survivors::default();
    survivors.note(inode, name("/a"));
    survivors.note(inode, name("/a"));
    assert_eq!(survivors.of(inode.0, inode.1), Some(&name("/a")));
    survivors.note(inode, name("/b"));
    let last = survivors.of(inode.0, inode.1);
    assert!(matches!(last, Some(Survivor::Unknown(why)) if why.contains("two mounts")));
}

#[test]
fn where_the_names_travel_nothing_is_searched() {
    let class = |class| Mount {
        class,
        ..mount("tmpfs", "rw")
    };
    assert!(!stays_behind(&class(MountClass::Internal)));
    assert!(!stays_behind(&class(MountClass::ExternalTmpfsPrivate)));
    assert!(stays_behind(&class(MountClass::ExternalPersistent)));
    assert!(stays_behind(&mount("overlay", "rw")));
    assert!(!stays_behind(&mount("proc", "rw")));
}
