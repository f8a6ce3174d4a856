//! How much room each piece of material gets.

/// Limits on the material in a prompt, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Of one piece.
    pub item: usize,
    /// Of all pieces together.
    pub total: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { item: 24_000, total: 96_000 }
    }
}

impl Budget {
    /// The room of each piece, given what each would need. A piece that needs little gets all it needs; the others get equal
    /// shares of the rest. The order of the pieces does not matter.
    pub fn share(&self, needs: &[usize]) -> Vec<usize> {
        let wanted: Vec<usize> = needs.iter().map(|&n| n.min(self.item)).collect();
        if wanted.iter().fold(0usize, |sum, &w| sum.saturating_add(w)) <= self.total {
            return wanted;
        }
        // Fill from the smallest: at each step the rest is divided among those not yet served.
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by_key(|&i| wanted[i]);
        let mut rooms = vec![0; wanted.len()];
        let mut left = self.total;
        for (served, &i) in order.iter().enumerate() {
            rooms[i] = wanted[i].min(left / (order.len() - served));
            left -= rooms[i];
        }
        rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_pieces_are_whole_and_large_ones_share() {
        let budget = Budget { item: 50, total: 100 };
        assert_eq!(budget.share(&[10, 20, 30]), [10, 20, 30]);
        assert_eq!(budget.share(&[10, 400, 500]), [10, 45, 45].map(|n| n));
        assert_eq!(budget.share(&[1_000]), [50]);
        assert_eq!(budget.share(&[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn shares_are_bounded_fair_and_use_the_room(
            needs in prop::collection::vec(0usize..1_000, 0..40), item in 0usize..500, total in 0usize..4_000,
        ) {
            let budget = Budget { item, total };
            let rooms = budget.share(&needs);
            let sum: usize = rooms.iter().sum();
            let wanted: usize = needs.iter().map(|&n| n.min(item)).sum();
            prop_assert!(sum <= total);
            prop_assert!(sum == wanted || total - sum < needs.len().max(1));
            for (i, &room) in rooms.iter().enumerate() {
                prop_assert!(room <= needs[i].min(item));
                // Nobody who got less than they want has less than anyone else, but for a byte of rounding.
                if room < needs[i].min(item) {
                    prop_assert!(rooms.iter().all(|&other| other <= room + 1));
                }
            }
        }
    }
}
