use crate::support::cast::*;

#[test]
fn companies_of_every_shape_can_be_founded() {
    for number in 0..12 {
        let desk = company(shape(number));
        assert_eq!(desk.tally.refusals(), 0);
    }
}
